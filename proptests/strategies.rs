//! Values and packets to try.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use xpra::codec::{Coding, Value};

/// Any value that `coding` has a form for.
pub(crate) fn value(coding: Coding) -> impl Strategy<Value = Value> {
    leaf(coding).prop_recursive(6, 200, 70, move |inner| {
        let pairs = vec((key(coding), inner.clone()), 0..30).prop_map(unique);
        prop_oneof![
            vec(inner, 0..70).prop_map(Value::List),
            pairs.prop_map(Value::Map)
        ]
    })
}

/// The items of a packet, some of them large enough for a chunk.
pub(crate) fn packet(coding: Coding) -> impl Strategy<Value = Vec<Value>> {
    let argument = prop_oneof![
        3 => value(coding).prop_filter("null is no argument", |value| *value != Value::Null),
        1 => (0_usize..100_000).prop_map(|len| Value::Bytes(Bytes::from(vec![len.to_le_bytes()[0]; len]))),
    ];
    ("[a-z-]{1,20}", vec(argument, 0..20)).prop_map(|(name, mut arguments)| {
        arguments.insert(0, Value::from(name));
        arguments
    })
}

fn leaf(coding: Coding) -> BoxedStrategy<Value> {
    let common = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-50_i64..200).prop_map(Value::Int),
        "-?[1-9][0-9]{20,60}".prop_map(|digits| Value::BigInt(digits.into())),
        vec(any::<u8>(), 0..80).prop_map(|data| Value::Bytes(data.into())),
        text(),
    ];
    if coding == Coding::Bencode {
        return common.boxed();
    }
    prop_oneof![
        6 => common,
        1 => Just(Value::Null),
        1 => any::<f64>().prop_map(Value::Float),
    ]
    .boxed()
}

fn key(coding: Coding) -> BoxedStrategy<Value> {
    match coding {
        // Only these two have keys that are lists.
        Coding::Rencodeplus | Coding::Rencode => {
            prop_oneof![9 => leaf(coding), 1 => vec(leaf(coding), 0..3).prop_map(Value::List)].boxed()
        }
        _ => leaf(coding),
    }
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "[ -~]{0,200}".prop_map(Value::from),
        "[a-c' \n:#-]{0,30}".prop_map(Value::from),
        "[0-9._:eE+-]{1,6}".prop_map(Value::from),
        "(yes|no|on|off|null|~|true|<<|=|\\.inf|\\.nan|2001-01-01)".prop_map(Value::from),
    ]
}

/// The pairs without those whose key came before.
fn unique(pairs: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    let mut seen = std::collections::HashSet::new();
    pairs
        .into_iter()
        .filter(|(key, _)| seen.insert(format!("{key:?}")))
        .collect()
}
