//! What a plain scalar means in YAML 1.1, as the reference resolves it.

use super::super::{Value, ValueError, integer};

/// The value of a plain scalar.
pub(super) fn resolve(text: &str) -> Result<Value, ValueError> {
    if is_null(text) {
        return Ok(Value::Null);
    }
    if let Some(value) = boolean(text) {
        return Ok(Value::Bool(value));
    }
    if let Some(value) = float(text) {
        return Ok(Value::Float(value));
    }
    if is_int(text) {
        return int(text);
    }
    // The reference finds no value for these.
    if matches!(text, "=" | "<<" | "!" | "&" | "*") {
        return Err(ValueError::Tag);
    }
    Ok(Value::from(text))
}

/// True when the plain scalar `text` is just text; dates are not, though we read them as text.
pub(super) fn is_text(text: &str) -> bool {
    let special = is_null(text) || boolean(text).is_some() || float(text).is_some() || is_int(text);
    !special && !is_timestamp(text) && !matches!(text, "=" | "<<" | "!" | "&" | "*")
}

/// True for the forms of null.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The truth written as `text`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The float written as `text`.
pub(super) fn float(text: &str) -> Option<f64> {
    let (negative, body) = sign(text);
    let magnitude = match body {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        // The reference's is the negative one.
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => -f64::NAN,
        _ => {
            let (mantissa, exponent) = body.find(['e', 'E']).map_or((body, ""), |at| body.split_at(at));
            let (whole, fraction) = mantissa.split_once('.')?;
            if !fraction.bytes().all(is_digit_or_blank) {
                return None;
            }
            if whole.contains(':') {
                let seconds = exponent.is_empty().then(|| sexagesimal(whole)).flatten()?;
                let fraction = format!("0.{fraction}").replace('_', "").parse::<f64>().ok()?;
                #[expect(clippy::cast_precision_loss, reason = "it is to be a float")]
                let seconds = seconds as f64;
                seconds + fraction
            } else {
                let unsigned = body.len() == text.len();
                let leading = if whole.is_empty() { fraction } else { whole };
                let valid = leading.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
                    && whole.bytes().all(is_digit_or_blank)
                    && (unsigned || !whole.is_empty())
                    && (exponent.is_empty() || is_exponent(exponent));
                let digits = valid.then(|| body.replace('_', ""))?;
                digits.parse::<f64>().ok()?
            }
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// The integer written as `text`.
pub(super) fn int(text: &str) -> Result<Value, ValueError> {
    let (negative, body) = sign(text);
    let digits = body.replace('_', "");
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()
    } else if digits.starts_with('0') && digits.len() > 1 {
        i128::from_str_radix(&digits, 8).ok()
    } else if body.contains(':') {
        sexagesimal(body)
    } else if is_int(text) {
        return integer::lenient(text.replace('_', "").as_bytes());
    } else {
        None
    };
    let magnitude = magnitude.ok_or(ValueError::Integer)?;
    integer::lenient(
        (if negative { -magnitude } else { magnitude })
            .to_string()
            .as_bytes(),
    )
}

fn is_int(text: &str) -> bool {
    let (_, body) = sign(text);
    let all =
        |digits: &[u8], accept: fn(u8) -> bool| !digits.is_empty() && digits.iter().copied().all(accept);
    match body.as_bytes() {
        [b'0', b'b', digits @ ..] => all(digits, |byte| matches!(byte, b'0' | b'1' | b'_')),
        [b'0', b'x', digits @ ..] => all(digits, |byte| byte.is_ascii_hexdigit() || byte == b'_'),
        [b'0'] => true,
        [b'0', digits @ ..] => all(digits, |byte| matches!(byte, b'0'..=b'7' | b'_')),
        digits @ [b'1'..=b'9', ..] => all(digits, is_digit_or_blank) || sexagesimal(body).is_some(),
        _ => false,
    }
}

/// The number of base 60 written as `text`: digits, then groups below 60 behind colons.
fn sexagesimal(text: &str) -> Option<i128> {
    let mut groups = text.split(':');
    let first = groups
        .next()
        .filter(|first| first.starts_with(|c: char| c.is_ascii_digit()))?;
    if !first.bytes().all(is_digit_or_blank) {
        return None;
    }
    let mut value = first.replace('_', "").parse::<i128>().ok()?;
    for group in groups {
        let valid = matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
        let digit = valid.then(|| group.parse::<i128>().ok()).flatten()?;
        value = value.checked_mul(60)?.checked_add(digit)?;
    }
    Some(value)
}

fn is_exponent(text: &str) -> bool {
    matches!(text.as_bytes(), [b'e' | b'E', b'-' | b'+', digits @ ..]
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

/// `2001-01-01`, or a date and a time.
fn is_timestamp(text: &str) -> bool {
    let mut bytes = text.bytes().peekable();
    let mut number = |min: usize, max: usize| {
        let mut count = 0;
        while count < max && bytes.next_if(u8::is_ascii_digit).is_some() {
            count += 1;
        }
        (count >= min).then(|| bytes.next())
    };
    // A year, a month and a day make a date; whatever a time looks like, quotes do no harm.
    number(4, 4) == Some(Some(b'-'))
        && number(1, 2) == Some(Some(b'-'))
        && matches!(number(1, 2), Some(None | Some(b'T' | b't' | b' ' | b'\t')))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn is_digit_or_blank(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}
