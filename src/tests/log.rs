//! What is logged while a test runs.
//!
//! One subscriber serves the whole binary: with one for each thread, a line that another test logs first is
//! never logged by this one, because tracing keeps that nobody on that thread wanted it.

use std::cell::RefCell;
use std::io::{Result, Write};
use std::sync::Once;

use tracing_subscriber::EnvFilter;

thread_local! {
    static KEPT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Goes to the buffer of the thread that logs, if it keeps one.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        KEPT.with_borrow_mut(|kept| kept.iter_mut().for_each(|kept| kept.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Has to come before the first line that is logged.
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        // Ours to the last word; of the libraries what is on by default.
        let filter = EnvFilter::new("info,sqlx=warn,ehr_integrations=trace");
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Log).init();
    });
}

/// Keeps what this thread logs from now on; a test runs on one thread.
pub fn keep() {
    KEPT.set(Some(Vec::new()));
}

/// What was kept.
pub fn kept() -> String {
    String::from_utf8(KEPT.take().expect("a test that keeps its log")).unwrap()
}
