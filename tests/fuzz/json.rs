//! Random changes of a JSON text, which usually keep it valid.

use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

use super::mutation::{choice, float, integer};

/// Makes one to three changes of values, and sometimes changes of bytes.
pub(super) fn change(text: &[u8], random: &mut impl Rng) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(text).expect("a seed is valid JSON");
    for _ in 0..*choice(random, &[1, 1, 2, 3]) {
        let mut count = random.random_range(0..num_values(&root));
        change_value(&mut root, &mut count, random);
    }
    let mut bytes = root.to_string().into_bytes();
    if random.random_range(0..8) == 0 {
        super::mutation::change(&mut bytes, &[text.to_vec()], random);
    }
    bytes
}

fn num_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(num_values).sum(),
        Value::Object(values) => values.values().map(num_values).sum(),
        _ => 0,
    }
}

/// Changes the value after `count` others. Returns whether that value was reached.
fn change_value(value: &mut Value, count: &mut usize, random: &mut impl Rng) -> bool {
    if *count == 0 {
        change_one(value, random);
        return true;
    }
    *count -= 1;
    match value {
        Value::Array(values) => values.iter_mut().any(|v| change_value(v, count, random)),
        Value::Object(values) => values.values_mut().any(|v| change_value(v, count, random)),
        _ => false,
    }
}

fn change_one(value: &mut Value, random: &mut impl Rng) {
    match (random.random_range(0..4), &mut *value) {
        (0, Value::Array(values)) if !values.is_empty() => {
            let at = random.random_range(0..values.len());
            drop(values.remove(at));
        }
        (1, Value::Array(values)) if !values.is_empty() => {
            let copy = choice(random, values).clone();
            values.extend(vec![copy; *choice(random, &[1, 2, 300])]);
        }
        (0, Value::Object(values)) => drop(any_key(values, random).map(|key| values.remove(&key))),
        (1, Value::Object(values)) => {
            let removed = any_key(values, random).and_then(|key| values.remove(&key));
            values.insert(choice(random, &["", "0", "a", "\u{0}"]).to_string(), removed.into());
        }
        (0 | 1, Value::String(text)) => {
            let number = integer(random).to_string();
            let parts = ["", "0", "/", "../", "\u{0}", "ä", ".nii.gz", &number];
            text.push_str(parts[random.random_range(0..parts.len())]);
        }
        (0 | 1, Value::Number(number)) => {
            let near = number.as_f64().unwrap_or(0.0) + *choice(random, &[-1.0, 1.0, 0.25, 1e-9]);
            *value = json!(near);
        }
        _ => *value = replacement(random),
    }
}

fn any_key(values: &Map<String, Value>, random: &mut impl Rng) -> Option<String> {
    (!values.is_empty()).then(|| values.keys().nth(random.random_range(0..values.len())))?.cloned()
}

fn replacement(random: &mut impl Rng) -> Value {
    match random.random_range(0..12) {
        0..3 => json!(integer(random)),
        3 => json!(u64::MAX),
        4..6 => json!(float(random)),
        6 => json!(choice(random, &["", "0", "background", "a/b.nii.gz", "../a", "\u{0}"])),
        7 => json!("x".repeat(*choice(random, &[100, 3000]))),
        8 => json!([]),
        9 => json!({}),
        10 => Value::Bool(random.random_bool(0.5)),
        _ => Value::Null,
    }
}
