//! Speed of encrypted records, beside what the cryptographic library takes for as many bytes in the same run.

#![expect(clippy::unwrap_used, reason = "a bench: a panic is a failed run")]

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod cases;

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::cipher::{DecryptingKey, DecryptionContext, EncryptionContext};
use bytes::BytesMut;
use criterion::{Criterion, criterion_group};
use xpra::codec::CipherMode;

use crate::cases::cipher::{
    IV, MODES, SIZES, decryptor, encoder, encrypting_key, encryptor, library_key, picture,
};

fn packets(criterion: &mut Criterion) {
    cases::time(criterion, cases::cipher::cases());
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

fn library_encrypts(mode: CipherMode, size: usize) -> Duration {
    let key = encrypting_key(mode);
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
    if cases::is_bench() {
        comparison();
    }
    Criterion::default().configure_from_args().final_summary();
}
