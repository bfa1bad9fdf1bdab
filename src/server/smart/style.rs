//! The EHR's colours (SMART App Launch 2.2, "Styling": `smart_style_url`).
//!
//! Guards: what comes from there is three colours and nothing else, and only a combination that
//! people can read (WCAG 2.2, 1.4.3 and 1.4.11) is used; everything else leaves our own colours.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde::Deserialize;

use crate::server::net::{Http, Request};

/// Contrast of text to its background, at least.
const TEXT: f64 = 4.5;
/// Contrast of a control to its background, at least.
const CONTROL: f64 = 3.0;

/// A colour of 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// The EHR's colours, as far as they can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmartStyle {
    /// Behind everything.
    pub background: Colour,
    /// On it.
    pub text: Colour,
    /// Of links and what is chosen; as readable as text.
    pub highlight: Colour,
    /// On the highlight.
    pub on_highlight: Colour,
}

const BLACK: Colour = Colour([0, 0, 0]);
const WHITE: Colour = Colour([255, 255, 255]);

impl Colour {
    /// Reads `#rgb` and `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix('#')?;
        let wide = match digits.len() {
            6 => digits.to_owned(),
            3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
            _ => return None,
        };
        if !wide.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let part = |at: usize| wide.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let Self([red, green, blue]) = self;
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    /// Contrast ratio (WCAG 2.2), from 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, rename = "color_background")]
    background: Option<String>,
    #[serde(default, rename = "color_text")]
    text: Option<String>,
    #[serde(default, rename = "color_highlight")]
    highlight: Option<String>,
}

impl SmartStyle {
    /// Reads the style document. `None` when its colours cannot be read together.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(body).ok()?;
        let colour = |text: &Option<String>| text.as_deref().and_then(Colour::parse);
        let background = colour(&document.background)?;
        let text = colour(&document.text)?;
        if background.contrast(text) < TEXT {
            return None;
        }
        // Links are text too. Where the EHR's highlight is too pale for that, text is underlined in its own colour.
        let highlight = colour(&document.highlight).filter(|colour| colour.contrast(background) >= TEXT);
        let highlight = highlight.unwrap_or(text);
        let on_highlight = if highlight.contrast(WHITE) >= highlight.contrast(BLACK) { WHITE } else { BLACK };
        (highlight.contrast(background) >= CONTROL).then_some(Self { background, text, highlight, on_highlight })
    }
}

/// Remembers styles for an hour, also that there is none: the address has their version in it.
#[derive(Clone)]
pub struct StyleCache(Cache<String, Option<Arc<SmartStyle>>>);

impl Default for StyleCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(1_000).time_to_live(Duration::from_hours(1)).build())
    }
}

impl StyleCache {
    /// The style at an address. A style that cannot be had in two seconds is none, for an hour: nobody
    /// waits for colours.
    pub async fn read(&self, http: &Http, url: &str) -> Option<Arc<SmartStyle>> {
        let fetch = async {
            let request = Request { url, accept: "application/json", bearer: None, headers: &[] };
            let answer = tokio::time::timeout(Duration::from_secs(2), http.get(&request)).await.ok()?.ok()?;
            answer.status.is_success().then(|| SmartStyle::parse(&answer.body)).flatten().map(Arc::new)
        };
        self.0.get_with(url.to_owned(), fetch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn style(background: &str, text: &str, highlight: &str) -> Option<SmartStyle> {
        let json =
            serde_json::json!({"color_background": background, "color_text": text, "color_highlight": highlight});
        SmartStyle::parse(json.to_string().as_bytes())
    }

    #[test]
    fn readable_colours_are_taken() {
        let taken = style("#edeae3", "#303030", "#69b5ce").unwrap();
        assert_eq!(taken.background.to_string(), "#edeae3");
        // Too pale for a link on this background.
        assert_eq!(taken.highlight, taken.text);
        assert_eq!(style("#fff", "#000", "#00f").unwrap().highlight.to_string(), "#0000ff");
    }

    #[test]
    fn everything_else_is_not() {
        assert_eq!(style("#ffffff", "#eeeeee", "#000000"), None);
        assert_eq!(style("red", "#000", "#000"), None);
        assert_eq!(style("#fff;}body{display:none", "#000", "#000"), None);
        assert_eq!(SmartStyle::parse(b"[]"), None);
        assert_eq!(SmartStyle::parse(b"{\"color_background\": 3}"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_can_be_read(background in "#[0-9a-f]{6}", text in "#[0-9a-f]{6}", highlight in ".{0,8}") {
            if let Some(style) = style(&background, &text, &highlight) {
                prop_assert!(style.text.contrast(style.background) >= TEXT);
                prop_assert!(style.highlight.contrast(style.background) >= TEXT);
                prop_assert!(style.on_highlight.contrast(style.highlight) >= TEXT);
            }
        }
    }
}
