//! An answer as the JSON that it travels as.
//!
//! Functions that read answer a [`Body`]: the JSON and the type that it stands for. All of them look
//! the same to the resources, effects and clients around them, so the wasm has one instance of that
//! machinery instead of one for each page (the first load has a budget, see docs/decisions.md 16).
//! May import nothing of ours.

use std::marker::PhantomData;

use serde::Serialize;

/// The JSON of a `T`.
pub struct Body<T> {
    text: String,
    of: PhantomData<fn() -> T>,
}

impl<T> Body<T> {
    /// Takes JSON as that of a `T`; whoever reads it finds out.
    pub const fn new(text: String) -> Self {
        Self { text, of: PhantomData }
    }

    /// The JSON itself.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// The JSON itself.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The same answer where there may be none.
    pub fn into_option(self) -> Body<Option<T>> {
        Body::new(self.text)
    }
}

impl<T> Body<Option<T>> {
    /// No answer.
    pub fn none() -> Self {
        Self::new("null".into())
    }
}

impl<T: Serialize> Body<T> {
    /// Writes a value as JSON.
    ///
    /// # Errors
    /// When the value has no JSON: a map with keys that are not text.
    pub fn of(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::new)
    }
}
