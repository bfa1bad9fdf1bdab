//! The JSON of server functions: a [`Body`] passes through as it is.
//!
//! May import `model`. Guards: the wire format of the frameworks' own codec.

use std::convert::Infallible;
use std::string::FromUtf8Error;

use crate::model::body::Body;
use crate::model::problem::Problem;
use leptos::server_fn::Bytes;
use leptos::server_fn::codec::Post;
use leptos::server_fn::{ContentType, Decodes, Encodes, Format, FormatType};

/// The output codec of the functions that the browser half calls by itself.
pub type Json = Post<JsonText>;

/// JSON that is read as text.
pub struct JsonText;

impl ContentType for JsonText {
    const CONTENT_TYPE: &'static str = "application/json";
}

impl FormatType for JsonText {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T> Encodes<Body<T>> for JsonText {
    type Error = Infallible;

    fn encode(output: &Body<T>) -> Result<Bytes, Self::Error> {
        Ok(Bytes::copy_from_slice(output.as_text().as_bytes()))
    }
}

impl<T> Decodes<Body<T>> for JsonText {
    type Error = FromUtf8Error;

    fn decode(bytes: Bytes) -> Result<Body<T>, Self::Error> {
        String::from_utf8(bytes.into()).map(Body::new)
    }
}

impl Encodes<Problem> for JsonText {
    type Error = serde_json::Error;

    fn encode(output: &Problem) -> Result<Bytes, Self::Error> {
        serde_json::to_vec(output).map(Bytes::from)
    }
}

impl Decodes<Problem> for JsonText {
    type Error = serde_json::Error;

    fn decode(bytes: Bytes) -> Result<Problem, Self::Error> {
        let text = std::str::from_utf8(&bytes).map_err(serde::de::Error::custom)?;
        serde_json::from_str(text)
    }
}
