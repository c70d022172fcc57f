//! The text form of `!!binary`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes written as `text`, in which blanks do not count.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut digits = 0;
    let mut padding = 0;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        let digit = u32::try_from(ALPHABET.iter().position(|letter| *letter == byte)?).ok()?;
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | digit;
        digits += 1;
        if digits == 4 {
            let [_, a, b, c] = bits.to_be_bytes();
            out.extend([a, b, c]);
            (bits, digits) = (0, 0);
        }
    }
    match (digits, padding) {
        (0, 0) => {}
        (2, 2) => out.extend((bits >> 4).to_be_bytes().last()),
        (3, 1) => out.extend((bits >> 2).to_be_bytes().iter().skip(2)),
        _ => return None,
    }
    Some(out)
}

/// The digits of `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    let digit = |index: u32| {
        let index = usize::try_from(index & 63).unwrap_or_default();
        ALPHABET.get(index).copied().map_or('=', char::from)
    };
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| group.get(index).copied().unwrap_or_default();
        let bits = u32::from_be_bytes([0, at(0), at(1), at(2)]);
        out.extend([digit(bits >> 18), digit(bits >> 12)]);
        out.push(if group.len() > 1 { digit(bits >> 6) } else { '=' });
        out.push(if group.len() > 2 { digit(bits) } else { '=' });
    }
    out
}
