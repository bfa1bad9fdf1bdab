//! Reads the head of a resource: what it is, its id and its version. The rest is checked to be JSON, and left
//! as it is.
//!
//! Imports nothing but `model`. Guards: no JSON tree is built, however large the line; a value of an unexpected
//! kind is passed over rather than refused; whatever a column could not hold is refused here.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::time::Timestamp;

/// Where the tag comes from that says that a resource is not complete.
const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
/// FHIR allows 64 (R4 §2.24.0.1); not every EHR keeps to it.
const MAX_ID: usize = 255;
const MAX_TYPE: usize = 64;

/// Why a line was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It is no JSON.
    NotJson,
    /// It is not in UTF-8.
    NotUtf8,
    /// It is longer than [`MAX_LINE`](super::lines::MAX_LINE).
    TooLong,
    /// It has no `resourceType`.
    NoResourceType,
    /// It has no `id`.
    NoId,
    /// It is of another type than the manifest says.
    WrongType,
}

impl Refusal {
    /// The reason's name in `export_rejects`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotUtf8 => "not_utf8",
            Self::TooLong => "too_long",
            Self::NoResourceType => "no_resource_type",
            Self::NoId => "no_id",
            Self::WrongType => "wrong_type",
        }
    }
}

/// What a resource says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The resource type.
    pub kind: Cow<'a, str>,
    /// The id.
    pub id: Cow<'a, str>,
    /// `meta.lastUpdated`, if there is one that can be read.
    pub updated_at: Option<Timestamp>,
    /// `meta.versionId`.
    pub version: Option<Cow<'a, str>>,
    /// Whether it is tagged SUBSETTED: some elements only (Bulk Data Access 3.0, `_elements`).
    pub partial: bool,
}

/// What a line of an output file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A resource.
    Resource(Head<'a>),
    /// The header of a block of organized output: a `Parameters` with a parameter `header`.
    Header,
}

/// Reads a line. `kind` is the type that the manifest names; organized output names none.
///
/// # Errors
/// Why it cannot be taken in.
pub fn parse<'a>(line: &'a [u8], kind: Option<&str>) -> Result<Parsed<'a>, Refusal> {
    let Resource { kind: Text(found), id: Text(id), meta, header } = from_json(text(line)?)?;
    let found = found.filter(|found| is_type(found)).ok_or(Refusal::NoResourceType)?;
    if kind.is_none() && found == "Parameters" && header.0 {
        return Ok(Parsed::Header);
    }
    if kind.is_some_and(|kind| kind != found) {
        return Err(Refusal::WrongType);
    }
    let id = id.filter(|id| is_id(id)).ok_or(Refusal::NoId)?;
    let updated_at = meta.updated.0.as_deref().and_then(Timestamp::parse_instant);
    let version = meta.version.0.filter(|version| is_id(version));
    Ok(Parsed::Resource(Head { kind: found, id, updated_at, version, partial: meta.tags.0 }))
}

/// The text of a line.
///
/// # Errors
/// [`Refusal::NotUtf8`].
pub fn text(line: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(line).map_err(|_| Refusal::NotUtf8)
}

/// Whether a text can be a resource type.
pub fn is_type(text: &str) -> bool {
    (1..=MAX_TYPE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Whether a text can be an id.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn from_json<'a, T: Shape<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str::<Lenient<T>>(text).map(|lenient| lenient.0).map_err(|_| Refusal::NotJson)
}

/// A value of which we want a part, whatever it turns out to be.
trait Shape<'de>: Default {
    /// It is a text.
    fn text(&mut self, _: Cow<'de, str>) {}

    /// It has a member of this name, whose value is to be taken next.
    fn member<A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(drop)
    }

    /// It is a list: takes the next item. Answers whether there was one.
    fn item<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        list.next_element::<IgnoredAny>().map(|item| item.is_some())
    }
}

#[derive(Default)]
struct Resource<'a> {
    kind: Text<'a>,
    id: Text<'a>,
    meta: Meta<'a>,
    header: Header,
}

impl<'de> Shape<'de> for Resource<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "resourceType" => self.kind = value(map)?,
            "id" => self.id = value(map)?,
            "meta" => self.meta = value(map)?,
            "parameter" => self.header = value(map)?,
            _ => map.next_value::<IgnoredAny>().map(drop)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Meta<'a> {
    updated: Text<'a>,
    version: Text<'a>,
    tags: Subsetted,
}

impl<'de> Shape<'de> for Meta<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "lastUpdated" => self.updated = value(map)?,
            "versionId" => self.version = value(map)?,
            "tag" => self.tags = value(map)?,
            _ => map.next_value::<IgnoredAny>().map(drop)?,
        }
        Ok(())
    }
}

/// Whether a list of tags has SUBSETTED.
#[derive(Default)]
struct Subsetted(bool);

impl<'de> Shape<'de> for Subsetted {
    fn item<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let tag = list.next_element::<Lenient<Tag<'de>>>()?;
        self.0 |= tag.as_ref().is_some_and(|Lenient(tag)| {
            tag.system.0.as_deref() == Some(OBSERVATION_VALUE) && tag.code.0.as_deref() == Some("SUBSETTED")
        });
        Ok(tag.is_some())
    }
}

#[derive(Default)]
struct Tag<'a> {
    system: Text<'a>,
    code: Text<'a>,
}

impl<'de> Shape<'de> for Tag<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "system" => self.system = value(map)?,
            "code" => self.code = value(map)?,
            _ => map.next_value::<IgnoredAny>().map(drop)?,
        }
        Ok(())
    }
}

/// Whether a list of parameters has one of the name `header`.
#[derive(Default)]
struct Header(bool);

impl<'de> Shape<'de> for Header {
    fn item<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let parameter = list.next_element::<Lenient<Parameter<'de>>>()?;
        self.0 |= parameter.as_ref().is_some_and(|Lenient(parameter)| parameter.0.0.as_deref() == Some("header"));
        Ok(parameter.is_some())
    }
}

#[derive(Default)]
struct Parameter<'a>(Text<'a>);

impl<'de> Shape<'de> for Parameter<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name == "name" {
            self.0 = value(map)?;
            return Ok(());
        }
        map.next_value::<IgnoredAny>().map(drop)
    }
}

/// A text; `None` for anything else.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de> Shape<'de> for Text<'de> {
    fn text(&mut self, text: Cow<'de, str>) {
        self.0 = Some(text);
    }
}

/// The name of a member, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn value<'de, T: Shape<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    map.next_value::<Lenient<T>>().map(|lenient| lenient.0)
}

struct Lenient<T>(T);

impl<'de, T: Shape<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyOf(PhantomData)).map(Self)
    }
}

struct AnyOf<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for AnyOf<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        let mut value = T::default();
        value.text(Cow::Owned(text.to_owned()));
        Ok(value)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        let mut value = T::default();
        value.text(Cow::Borrowed(text));
        Ok(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while value.item(&mut list)? {}
        Ok(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            value.member(&name, &mut map)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_head() {
        let line = br#"{"id":"a\u002db","x":[{"id":1}],"meta":{"tag":[{"code":"x"}],"versionId":"3","lastUpdated":"2026-01-01T00:00:00.1+01:00"},"resourceType":"Patient"}"#;
        let Ok(Parsed::Resource(head)) = parse(line, Some("Patient")) else { panic!("not taken in") };
        assert_eq!(
            (head.kind.as_ref(), head.id.as_ref(), head.version.as_deref(), head.partial),
            ("Patient", "a-b", Some("3"), false)
        );
        assert_eq!(head.updated_at.map(|time| time.to_string()).as_deref(), Some("2025-12-31T23:00:00.100Z"));
        assert!(matches!(head.kind, Cow::Borrowed(_)));
    }

    #[test]
    fn refusals() {
        let refusal = |line: &[u8]| parse(line, Some("Patient")).err().map(Refusal::as_str);
        assert_eq!(refusal(br#"{"resourceType":"Patient","id":"a""#), Some("not_json"));
        assert_eq!(refusal(br#"{"resourceType":"Patient","id":"a"} {}"#), Some("not_json"));
        assert_eq!(refusal(br#"{"resourceType":"Patient","id":"a","x":[1,]}"#), Some("not_json"));
        assert_eq!(refusal(b"<html>"), Some("not_json"));
        assert_eq!(refusal(b"{\"resourceType\":\"Patient\",\"id\":\"a\",\"x\":\"\xFF\"}"), Some("not_utf8"));
        assert_eq!(refusal(br#"{"id":"a"}"#), Some("no_resource_type"));
        assert_eq!(refusal(br#"{"resourceType":1,"id":"a"}"#), Some("no_resource_type"));
        assert_eq!(refusal(b"[1]"), Some("no_resource_type"));
        assert_eq!(refusal(br#"{"resourceType":"Patient"}"#), Some("no_id"));
        assert_eq!(refusal(br#"{"resourceType":"Patient","id":"a\u0000"}"#), Some("no_id"));
        assert_eq!(refusal(br#"{"resourceType":"Group","id":"a"}"#), Some("wrong_type"));
        assert_eq!(refusal(br#"{"resourceType":"Patient","id":"a","meta":[],"parameter":7}"#), None);
    }

    #[test]
    fn block_headers() {
        let header = br#"{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/1"}}]}"#;
        assert_eq!(parse(header, None), Ok(Parsed::Header));
        assert_eq!(parse(br#"{"resourceType":"Parameters","parameter":[{"name":"x"}]}"#, None), Err(Refusal::NoId));
        assert_eq!(parse(header, Some("Parameters")), Err(Refusal::NoId));
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let line =
            format!(r#"{{"resourceType":"Patient","id":"a","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(line.as_bytes(), None).is_ok());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("id|meta|tag|\\PC{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn any_resource() -> impl Strategy<Value = Value> {
        let tag = prop_oneof![
            Just(json!({"system": OBSERVATION_VALUE, "code": "SUBSETTED"})),
            Just(json!({"system": "other", "code": "SUBSETTED"})),
            any_json(),
        ];
        let time = prop_oneof![Just(json!("2026-01-02T03:04:05.678Z")), any_json()];
        let meta = (time, any_json(), proptest::collection::vec(tag, 0..3))
            .prop_map(|(time, version, tag)| json!({"lastUpdated": time, "versionId": version, "tag": tag}));
        let kind = prop_oneof![Just(json!("Patient")), any_json()];
        let id = prop_oneof![Just(json!("a-1")), "\\PC{1,5}".prop_map(Value::from), any_json()];
        (kind, id, prop_oneof![3 => meta, 1 => any_json()], any_json())
            .prop_map(|(kind, id, meta, rest)| json!({"resourceType": kind, "id": id, "meta": meta, "rest": rest}))
    }

    /// The same by way of a tree.
    fn by_tree(resource: &Value) -> Result<Head<'_>, Refusal> {
        let text = |value| Value::as_str(value).map(Cow::Borrowed);
        let kind = text(&resource["resourceType"]).filter(|kind| is_type(kind)).ok_or(Refusal::NoResourceType)?;
        let id = text(&resource["id"]).filter(|id| is_id(id)).ok_or(Refusal::NoId)?;
        let meta = &resource["meta"];
        let subsetted = |tag: &Value| tag["system"] == OBSERVATION_VALUE && tag["code"] == "SUBSETTED";
        Ok(Head {
            kind,
            id,
            updated_at: meta["lastUpdated"].as_str().and_then(Timestamp::parse_instant),
            version: text(&meta["versionId"]).filter(|version| is_id(version)),
            partial: meta["tag"].as_array().is_some_and(|tags| tags.iter().any(subsetted)),
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_tree(resource in any_resource(), ascii in any::<bool>()) {
            let mut line = resource.to_string();
            if ascii {
                // The same with every character beyond ASCII escaped.
                let escape = |unit: u16| match u8::try_from(unit).ok().filter(u8::is_ascii) {
                    Some(ascii) => char::from(ascii).to_string(),
                    None => format!("\\u{unit:04x}"),
                };
                line = line.encode_utf16().map(escape).collect::<Vec<_>>().concat();
            }
            prop_assert_eq!(parse(line.as_bytes(), None), by_tree(&resource).map(Parsed::Resource));
        }
    }
}
