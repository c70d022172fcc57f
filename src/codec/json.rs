//! Values as typed JSON, the form of the test vectors (`wire.md` 9): `{"t":"int","v":"1"}`.

use std::collections::HashMap;

use bytes::Bytes;
use compact_str::CompactString;
use serde_json::{Value as Json, json};
use thiserror::Error;

use super::{Value, integer};

/// Why JSON is not a typed value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not a typed value: {0}")]
pub struct JsonError(String);

/// The typed form of `value`. Of a key that comes twice the last value counts, in the place of the first, as in
/// the reference.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => json!({"t": "none"}),
        Value::Bool(v) => json!({"t": "bool", "v": v}),
        Value::Int(v) => json!({"t": "int", "v": v.to_string()}),
        Value::BigInt(digits) => json!({"t": "int", "v": digits.as_str()}),
        Value::Float(v) => json!({"t": "float", "bits64": format!("{:016x}", v.to_bits()), "v": repr(*v)}),
        Value::Bytes(v) => json!({"t": "bytes", "hex": to_hex(v)}),
        Value::Text(v) => json!({"t": "str", "v": v.as_str()}),
        Value::List(items) => json!({"t": "list", "v": items.iter().map(to_json).collect::<Vec<_>>()}),
        Value::Map(pairs) => json!({"t": "dict", "items": unique(pairs)}),
    }
}

/// The value of a typed form.
pub fn from_json(json: &Json) -> Result<Value, JsonError> {
    let invalid = || JsonError(json.to_string());
    let text = |key: &str| json.get(key).and_then(Json::as_str).ok_or_else(invalid);
    let list = |key: &str| json.get(key).and_then(Json::as_array).ok_or_else(invalid);
    Ok(match text("t")? {
        "none" => Value::Null,
        "bool" => Value::Bool(json.get("v").and_then(Json::as_bool).ok_or_else(invalid)?),
        "int" => {
            let digits = text("v")?;
            if !integer::is_canonical(digits) {
                return Err(invalid());
            }
            digits
                .parse()
                .map_or_else(|_| Value::BigInt(CompactString::new(digits)), Value::Int)
        }
        "float" => {
            let bits = u64::from_str_radix(text("bits64")?, 16).map_err(|_| invalid())?;
            Value::Float(f64::from_bits(bits))
        }
        "bytes" => Value::Bytes(from_hex(text("hex")?).ok_or_else(invalid)?),
        "str" => Value::Text(CompactString::new(text("v")?)),
        "list" => Value::List(list("v")?.iter().map(from_json).collect::<Result<_, _>>()?),
        "dict" => {
            let pair = |pair: &Json| match pair.as_array().map(Vec::as_slice) {
                Some([key, value]) => Ok((from_json(key)?, from_json(value)?)),
                _ => Err(invalid()),
            };
            Value::Map(list("items")?.iter().map(pair).collect::<Result<_, _>>()?)
        }
        _ => return Err(invalid()),
    })
}

/// The bytes written as hexadecimal digits.
pub fn from_hex(text: &str) -> Option<Bytes> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect::<Option<Vec<_>>>()
        .map(Bytes::from)
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

fn unique(pairs: &[(Value, Value)]) -> Vec<Json> {
    let mut places = HashMap::with_capacity(pairs.len());
    let mut items: Vec<Json> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let key = to_json(key);
        let place = *places.entry(key.to_string()).or_insert(items.len());
        match items.get_mut(place).and_then(|pair| pair.get_mut(1)) {
            Some(earlier) => *earlier = to_json(value),
            None => items.push(json!([key, to_json(value)])),
        }
    }
    items
}

/// The float as Python writes it: the shortest digits that give it back, the even ones of two that are as near.
pub(super) fn repr(value: f64) -> String {
    let shortest = format!("{value:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        return shortest.replace("NaN", "nan");
    };
    let exponent = exponent.parse().unwrap_or(0_i32);
    let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let exact = format!("{value:.places$e}");
    let nearest = if exact.parse() == Ok(value) {
        &exact
    } else {
        &shortest
    };
    if (-4..16).contains(&exponent) {
        let places = i32::try_from(places).unwrap_or(0) - exponent;
        let places = usize::try_from(places).unwrap_or(0).max(1);
        return nearest
            .parse()
            .map_or_else(|_| String::new(), |value: f64| format!("{value:.places$}"));
    }
    let mantissa = nearest.split_once('e').map_or(mantissa, |(mantissa, _)| mantissa);
    format!("{mantissa}e{exponent:+03}")
}
