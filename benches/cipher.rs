//! Speed of encrypted records, beside what the cryptographic library takes for as many bytes in the same run.

#![expect(clippy::unwrap_used, reason = "a bench: a panic is a failed run")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group};
use xpra::codec::{
    CipherConfig, CipherMode, Coding, Decoder, Decryptor, Encoder, Encryptor, Key, KeyHash, KeySize, Limits,
    PadTo, Padding, Value,
};

const MODES: [CipherMode; 2] = [CipherMode::Cbc, CipherMode::Ctr];
const SIZES: [(&str, usize); 3] = [("1KiB", 1 << 10), ("16KiB", 16 << 10), ("1MiB", 1 << 20)];
const IV: [u8; 16] = *b"0123456789abcdef";

fn key() -> Key {
    Key::derive(b"secret", &IV, KeyHash::Sha1, NonZeroU32::MIN, KeySize::Bits256)
}

const fn config(mode: CipherMode) -> CipherConfig {
    CipherConfig {
        mode,
        pad_to: PadTo::Bytes16,
        padding: Padding::Pkcs7,
        iv: IV,
        stream: true,
    }
}

fn encryptor(mode: CipherMode) -> Encryptor {
    Encryptor::new(&key(), config(mode), |_| false).unwrap()
}

fn decryptor(mode: CipherMode) -> Decryptor {
    Decryptor::new(&key(), config(mode)).unwrap()
}

/// A picture of that size, which travels as a chunk.
fn picture(size: usize) -> Vec<Value> {
    let pixels = Bytes::from(vec![7; size]);
    vec!["draw".into(), 1.into(), pixels.into(), 2.into()]
}

fn encoder(mode: CipherMode) -> Encoder {
    let mut encoder = Encoder::new(Coding::Rencodeplus);
    encoder.set_inline_max(0);
    encoder.set_encryptor(encryptor(mode));
    encoder
}

/// Whole packets: a chunk and its main record.
fn packets(c: &mut Criterion) {
    for mode in MODES {
        for (name, size) in SIZES {
            let items = picture(size);
            let mut group = c.benchmark_group(format!("cipher/{}", mode.name()));
            group.throughput(Throughput::Bytes(size as u64));
            let mut out = VecDeque::new();
            let mut encoder_ = encoder(mode);
            group.bench_function(format!("encode/{name}"), |b| {
                b.iter(|| {
                    out.clear();
                    encoder_.encode(black_box(&items), false, &mut out).unwrap()
                });
            });
            let (mut sender, mut receiver) = (encoder(mode), Decoder::new(Limits::after_hello()));
            receiver.set_decryptor(decryptor(mode));
            // a new packet each time, or the chain would break; so this is the sum of both
            group.bench_function(format!("there-and-back/{name}"), |b| {
                b.iter(|| {
                    out.clear();
                    sender.encode(black_box(&items), false, &mut out).unwrap();
                    out.iter()
                        .for_each(|bytes| receiver.read_buf().extend_from_slice(bytes));
                    assert_eq!(receiver.poll().unwrap().unwrap().items.len(), 4);
                });
            });
            group.finish();
        }
    }
}

/// Bytes that one round works on.
const ROUND: usize = 8 << 20;
const ROUNDS: usize = 30;

/// How many GB/s each way has, ours and the library's in turns, the best of all rounds.
fn comparison() {
    println!(
        "\n{:<12}{:>14}{:>10}{:>8}{:>14}{:>10}{:>8}{:>14}{:>8}",
        "GB/s", "encrypt: lib", "ours", "%", "decrypt: lib", "ours", "%", "encode packet", "%"
    );
    for mode in MODES {
        for (name, size) in SIZES {
            let mut best = [0_f64; 5];
            for _ in 0..ROUNDS {
                let times = [
                    library_encrypts(mode, size),
                    we_encrypt(mode, size),
                    library_decrypts(mode, size),
                    we_decrypt(mode, size),
                    we_encode(mode, size),
                ];
                for (best, time) in best.iter_mut().zip(times) {
                    *best = best.max(ROUND as f64 / time.as_secs_f64() / 1e9);
                }
            }
            let [lib_encrypt, encrypt, lib_decrypt, decrypt, encode] = best;
            let percent = |ours: f64, library: f64| 100.0 * ours / library;
            println!(
                "{:<12}{lib_encrypt:>14.2}{encrypt:>10.2}{:>8.0}{lib_decrypt:>14.2}{decrypt:>10.2}{:>8.0}{encode:>14.2}{:>8.0}",
                format!("{} {name}", mode.name()),
                percent(encrypt, lib_encrypt),
                percent(decrypt, lib_decrypt),
                percent(encode, lib_encrypt),
            );
        }
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn library_key() -> UnboundCipherKey {
    UnboundCipherKey::new(&AES_256, &[7; 32]).unwrap()
}

fn library_encrypts(mode: CipherMode, size: usize) -> Duration {
    let key = match mode {
        CipherMode::Cbc => EncryptingKey::cbc(library_key()).unwrap(),
        CipherMode::Ctr => EncryptingKey::ctr(library_key()).unwrap(),
    };
    let mut buffer = vec![7; size];
    time(|| {
        for _ in 0..ROUND / size {
            let context = EncryptionContext::Iv128(IV.into());
            key.less_safe_encrypt(black_box(&mut buffer), context).unwrap();
        }
    })
}

fn library_decrypts(mode: CipherMode, size: usize) -> Duration {
    let key = match mode {
        CipherMode::Cbc => DecryptingKey::cbc(library_key()).unwrap(),
        CipherMode::Ctr => DecryptingKey::ctr(library_key()).unwrap(),
    };
    let mut buffers = vec![vec![7; size]; ROUND / size];
    time(|| {
        for buffer in &mut buffers {
            let context = DecryptionContext::Iv128(IV.into());
            key.decrypt(black_box(buffer), context).unwrap();
        }
    })
}

/// From one piece of memory to another, as pixels are.
fn we_encrypt(mode: CipherMode, size: usize) -> Duration {
    let mut encryptor = encryptor(mode);
    let payload = vec![7; size];
    // touched, so that no page is missing
    let mut out = BytesMut::from(&vec![1; size + 64][..]);
    time(|| {
        for _ in 0..ROUND / size {
            out.clear();
            encryptor.seal(black_box(&payload), &mut out).unwrap();
        }
    })
}

fn we_decrypt(mode: CipherMode, size: usize) -> Duration {
    let (mut encryptor, mut decryptor) = (encryptor(mode), decryptor(mode));
    let payload = vec![7; size];
    let sealed = |_| {
        let mut out = BytesMut::with_capacity(size + 64);
        encryptor.seal(&payload, &mut out).unwrap();
        out
    };
    let mut records: Vec<BytesMut> = (0..ROUND / size).map(sealed).collect();
    time(|| {
        for record in &mut records {
            assert!(decryptor.open(size, black_box(record)).unwrap());
        }
    })
}

fn we_encode(mode: CipherMode, size: usize) -> Duration {
    let mut encoder = encoder(mode);
    let items = picture(size);
    let mut out = VecDeque::new();
    encoder.encode(&items, false, &mut out).unwrap();
    time(|| {
        for _ in 0..ROUND / size {
            out.clear();
            encoder.encode(black_box(&items), false, &mut out).unwrap();
        }
    })
}

criterion_group!(benches, packets);

fn main() {
    benches();
    // `cargo test --benches` only wants to know that it runs
    if !std::env::args().any(|argument| argument == "--test") {
        comparison();
    }
    Criterion::default().configure_from_args().final_summary();
}
