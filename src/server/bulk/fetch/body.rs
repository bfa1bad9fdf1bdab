//! The bytes of a file as they come, decoded.
//!
//! RFC 9110 §8.4 (Content-Encoding), RFC 1952 (gzip). Guards: bytes are counted as they come over the network, and
//! compared to what was announced; what was encoded ends with its checksum, or not at all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use super::Trouble;
use crate::server::net::{NetError, Opened as Answer};

/// How much is decoded at a time.
const PIECE: usize = 64 * 1024;

type Raw = BoxStream<'static, Result<Bytes, NetError>>;
type Decoder = GzipDecoder<StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>>;

/// A body.
pub(super) struct Body {
    source: Source,
    raw: Arc<AtomicU64>,
    announced: Option<u64>,
}

enum Source {
    Plain(Raw),
    Gzip(Box<Decoder>, BytesMut),
}

impl Body {
    pub(super) fn new(answer: Answer) -> Result<Self, Trouble> {
        let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let announced = header(CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let encoding = header(CONTENT_ENCODING).unwrap_or_default().to_ascii_lowercase();
        let raw = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&raw);
        let count = move |piece: &Bytes| {
            counter.fetch_add(u64::try_from(piece.len()).unwrap_or_default(), Ordering::Relaxed);
        };
        let stream = answer.body.inspect_ok(count);
        let source = match encoding.as_str() {
            "" | "identity" => Source::Plain(stream.boxed()),
            "gzip" | "x-gzip" => {
                let reader = StreamReader::new(stream.map_err(io::Error::other).boxed());
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Source::Gzip(Box::new(decoder), BytesMut::new())
            }
            _ => return Err(Trouble::unavailable("encoding")),
        };
        Ok(Self { source, raw, announced })
    }

    /// How many bytes came over the network.
    pub(super) fn raw(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }

    /// The next piece; `None` at the end of a body that is whole.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        let piece = match &mut self.source {
            Source::Plain(stream) => match stream.next().await {
                Some(piece) => piece.map(Some).map_err(|error| self.broken(&error))?,
                None => None,
            },
            Source::Gzip(decoder, buffer) => {
                buffer.reserve(PIECE);
                match decoder.read_buf(buffer).await {
                    Ok(0) => None,
                    Ok(_) => Some(buffer.split().freeze()),
                    // Nothing at all is nothing, whatever it is called.
                    Err(_) if self.announced == Some(0) => None,
                    Err(error) => return Err(self.undecodable(&error)),
                }
            }
        };
        let short = piece.is_none() && self.announced.is_some_and(|announced| announced != self.raw());
        if short { Err(Trouble::unavailable("truncated")) } else { Ok(piece) }
    }

    fn broken(&self, error: &NetError) -> Trouble {
        let early = self.announced.is_some_and(|announced| self.raw() < announced);
        Trouble::unavailable(match error {
            NetError::TimedOut => "timeout",
            _ if early => "truncated",
            _ => "connection",
        })
    }

    fn undecodable(&self, error: &io::Error) -> Trouble {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<NetError>()) {
            Some(error) => self.broken(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Trouble::unavailable("truncated"),
            None => Trouble::unavailable("bad_gzip"),
        }
    }
}
