//! `xpra-rs wire`: looks into captured bytes, and makes some (`wire.md` 9).

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::codec::json::{from_json, to_json};
use crate::codec::{Coding, Decoder, Limits, Value, ValueRef};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};

/// Converts between what peers send and JSON that keeps the types.
#[derive(Args, Debug)]
pub struct WireArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints the packets of a captured stream of records, each as one line of typed JSON
    Decode {
        /// The input is not records but one value of this encoding
        #[arg(long, value_enum)]
        payload: Option<Payload>,
        /// What to read; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Writes the encoded form of a value given as typed JSON
    Encode {
        /// The encoding to write
        #[arg(long, value_enum)]
        payload: Payload,
        /// What to read; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Payload {
    Rencodeplus,
    Rencode,
    Bencode,
    Yaml,
}

impl From<Payload> for Coding {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Rencodeplus => Self::Rencodeplus,
            Payload::Rencode => Self::Rencode,
            Payload::Bencode => Self::Bencode,
            Payload::Yaml => Self::Yaml,
        }
    }
}

/// Runs the command on standard input and output.
pub fn run(args: WireArgs) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match args.action {
        Action::Decode { payload: None, file } => decode_stream(open(&file)?, &mut out)?,
        Action::Decode {
            payload: Some(payload),
            file,
        } => decode_value(payload.into(), open(&file)?, &mut out)?,
        Action::Encode { payload, file } => encode_value(payload.into(), open(&file)?, &mut out)?,
    }
    Ok(out.flush()?)
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(
        File::open(file).with_context(|| format!("cannot open {}", file.display()))?,
    ))
}

/// One line for each packet; what came before a fault is printed.
fn decode_stream(mut input: impl Read, out: &mut impl Write) -> anyhow::Result<()> {
    let mut decoder = Decoder::new(Limits::after_hello());
    let mut piece = vec![0; 64 << 10];
    let mut packets = 0;
    loop {
        while let Some(packet) = decoder.poll().inspect_err(|_| drop(out.flush()))? {
            let items = packet.items.map(ValueRef::to_value).collect();
            writeln!(out, "{}", to_json(&Value::List(items)))?;
            packets += 1;
        }
        let len = input.read(&mut piece)?;
        if len == 0 {
            break;
        }
        decoder
            .read_buf()
            .extend_from_slice(piece.get(..len).unwrap_or_default());
    }
    out.flush()?;
    if packets == 0 && decoder.is_idle() {
        bail!("the stream is empty");
    }
    if !decoder.is_idle() {
        bail!("the stream ends inside of a packet");
    }
    Ok(())
}

fn decode_value(coding: Coding, input: impl Read, out: &mut impl Write) -> anyhow::Result<()> {
    let value = coding.decode(&Bytes::from(read(input)?), &Limits::after_hello())?;
    Ok(writeln!(out, "{}", to_json(&value))?)
}

fn encode_value(coding: Coding, input: impl Read, out: &mut impl Write) -> anyhow::Result<()> {
    let value = from_json(&serde_json::from_slice(&read(input)?)?)?;
    let mut encoded = Vec::new();
    coding.encode(&value, &mut encoded)?;
    Ok(out.write_all(&encoded)?)
}

/// Everything, up to the size no record exceeds.
fn read(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut data = Vec::new();
    input.take(Limits::CEILING as u64).read_to_end(&mut data)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"\x50\x10\0\0\0\0\0\x07\xc2\x84ping\x01";
    const LINE: &str =
        "{\"t\":\"list\",\"v\":[{\"t\":\"str\",\"v\":\"ping\"},{\"t\":\"int\",\"v\":\"1\"}]}\n";

    fn decoded(stream: &[u8]) -> (String, bool) {
        let mut out = Vec::new();
        let ok = decode_stream(stream, &mut out).is_ok();
        (String::from_utf8(out).unwrap(), ok)
    }

    #[test]
    fn a_stream_is_printed_packet_by_packet() {
        assert_eq!(decoded(PING), (LINE.into(), true));
        assert_eq!(decoded(&PING.repeat(2)), (LINE.repeat(2), true));
    }

    #[test]
    fn a_cut_or_broken_stream_fails_behind_its_good_packets() {
        assert_eq!(decoded(b""), (String::new(), false));
        assert_eq!(decoded(&PING[..9]), (String::new(), false));
        assert_eq!(decoded(&[PING, b"junk"].concat()), (LINE.into(), false));
    }

    #[test]
    fn values_go_both_ways() {
        for payload in Coding::ALL {
            let mut encoded = Vec::new();
            encode_value(payload, LINE.as_bytes(), &mut encoded).unwrap();
            let mut typed = Vec::new();
            decode_value(payload, &encoded[..], &mut typed).unwrap();
            let tells_text = matches!(payload, Coding::Rencodeplus | Coding::Yaml);
            assert_eq!(typed == LINE.as_bytes(), tells_text, "{payload}");
        }
    }
}
