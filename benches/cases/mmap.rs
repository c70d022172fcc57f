//! Pixels into shared memory and out of it, within one process.

use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;

use xpra::mmap::{Region, RingReader, RingWriter, Span, size_for};

use super::{Case, Work};

/// A picture of 512x256.
const PICTURE: usize = 512 * 256 * 4;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::copy("mmap/ring/limit-memcpy-512KiB", PICTURE),
        ring("copied-512KiB", true),
        ring("span", false),
    ]
}

/// A span is reserved, filled if the pixels are not there already, looked at by the reader and given back.
fn ring(name: &str, is_copied: bool) -> Case {
    Case::new(format!("mmap/ring/{name}"), move || {
        let (mut writer, mut reader) = ends();
        let picture = vec![7; PICTURE];
        Work::new(PICTURE, move || {
            let span = writer.reserve(PICTURE as u64).unwrap();
            if is_copied {
                writer.write(span.offset, black_box(&picture)).unwrap();
            }
            let spans: [Span; 1] = [span];
            black_box(reader.check(&spans).unwrap());
            reader.release(&spans).unwrap();
        })
    })
}

fn ends() -> (RingWriter, RingReader) {
    let region = Region::anonymous(size_for(512 * 256)).unwrap();
    let path = format!("/proc/self/fd/{}", region.file().as_raw_fd());
    let file = File::options().read(true).write(true).open(path).unwrap();
    let reader = RingReader::new(Region::sealed(file.into()).unwrap());
    (RingWriter::new(region).unwrap(), reader)
}
