//! Files other programs wrote, and ours read by them.

use super::*;
use crate::picture::samples;
use Encoding::{Jpeg, Png, PngL, PngP, Webp};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Reads a file in `files/`. They were drawn by Pillow and ImageMagick from `drawn` below; the lossy ones are enlarged
/// to 48 by 32 first.
macro_rules! stored {
    ($name:literal) => {
        include_bytes!(concat!("files/", $name)).as_slice()
    };
}

/// Blue, green and red of the drawing.
fn drawn(x: u32, y: u32) -> [u32; 3] {
    [(x + y) * 13, y * 36, x * 19]
}

/// A 13 by 7 BGRX picture.
fn draw(pixel: impl Fn(u32, u32) -> [u32; 4]) -> Vec<u8> {
    (0..7)
        .flat_map(|y| (0..13).map(move |x| (x, y)))
        .flat_map(|(x, y)| pixel(x, y).map(|value| value as u8))
        .collect()
}

#[test]
fn stored_lossless_files_decode() {
    let opaque = draw(|x, y| {
        let [b, g, r] = drawn(x, y);
        [b, g, r, 255]
    });
    for (encoding, file) in [
        (Png, stored!("interlaced.png")),
        (Png, stored!("sixteen.png")),
        (Webp, stored!("lossless.webp")),
    ] {
        assert_eq!(decode(&packet(encoding, file), 13, 7).unwrap(), opaque);
    }
    let premultiplied = draw(|x, y| {
        let (alpha, [b, g, r]) = ((x + y) * 13, drawn(x, y));
        let multiply = |value: u32| (value * alpha + 127) / 255;
        [multiply(b), multiply(g), multiply(r), alpha]
    });
    for (encoding, file) in [(Png, stored!("alpha.png")), (Webp, stored!("alpha.webp"))] {
        let mut screen = vec![0; 13 * 7 * 4];
        let size = Size::new(13, 7);
        paint(
            &mut screen,
            size,
            PixelFormat::Bgra,
            size.rect(),
            &packet(encoding, file),
        )
        .unwrap();
        assert_eq!(screen, premultiplied);
    }
    let palette = [
        [0, 0, 255, 255],
        [0, 255, 0, 255],
        [255, 0, 0, 255],
        [9, 9, 9, 255],
    ];
    let indexed = draw(|x, y| palette[(x + y) as usize % 4]);
    assert_eq!(
        decode(&packet(PngP, stored!("palette.png")), 13, 7).unwrap(),
        indexed
    );
    let faded = draw(|x, y| {
        [[0, 0, 255, 255], [0, 128, 0, 255], [0, 0, 0, 255], [9, 9, 9, 255]][(x + y) as usize % 4]
    });
    assert_eq!(
        decode(&packet(PngP, stored!("transparent.png")), 13, 7).unwrap(),
        faded
    );
    let grey = decode(&packet(PngL, stored!("grey.png")), 13, 7).unwrap();
    assert_eq!(grey[..4], [0, 0, 0, 255]);
    assert_eq!(grey[(3 * 13 + 6) * 4..][..4], [111, 111, 111, 255]);
    assert_eq!(grey[(6 * 13 + 12) * 4..], [222, 222, 222, 255]);
}

#[test]
fn stored_lossy_files_decode() {
    // Red, green and blue as Pillow (libjpeg-turbo, libwebp) decodes four points of each.
    let points = [(0, 0), (24, 16), (47, 31), (40, 3)];
    let files = [
        (
            Jpeg,
            stored!("baseline.jpg"),
            [[0, 0, 0], [117, 111, 121], [231, 220, 237], [200, 6, 139]],
        ),
        (
            Jpeg,
            stored!("progressive.jpg"),
            [[0, 1, 0], [117, 112, 119], [231, 219, 239], [200, 6, 137]],
        ),
        (Jpeg, stored!("grey.jpg"), [[0; 3], [114; 3], [225; 3], [79; 3]]),
        (
            Webp,
            stored!("lossy.webp"),
            [[0, 1, 0], [120, 112, 119], [231, 219, 239], [200, 8, 139]],
        ),
    ];
    for (encoding, file, expected) in files {
        let pixels = decode(&packet(encoding, file), 48, 32).unwrap();
        for ((x, y), [r, g, b]) in points.into_iter().zip(expected) {
            let at = (y * 48 + x) * 4;
            for (found, expected) in pixels[at..at + 3].iter().zip([b, g, r]) {
                assert!(
                    found.abs_diff(expected) <= 4,
                    "{encoding} at {x},{y}: {:?}",
                    &pixels[at..at + 3]
                );
            }
        }
    }
}

/// A python with Pillow: `XPRA_PEER_PYTHON`, the one the other peer tests use, or the system's.
fn pillow() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let candidates = [
        std::env::var_os("XPRA_PEER_PYTHON").map(PathBuf::from),
        Some(home.join(".cache/xpra-peers/xpra-6.5.5/bin/python")),
        Some(PathBuf::from("python3")),
        // The distribution's, which its python3-pil is for, when another comes first in PATH.
        Some(PathBuf::from("/usr/bin/python3")),
    ];
    let works = |python: &PathBuf| {
        Command::new(python)
            .args(["-c", "from PIL import features; assert features.check('webp')"])
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let found = candidates.into_iter().flatten().find(works);
    if found.is_none() {
        eprintln!("skipped: no python with Pillow");
    }
    found
}

fn run(python: &Path, script: &str, dir: &Path) {
    let out = Command::new(python)
        .arg("-c")
        .arg(script)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn pillow_reads_ours() {
    let Some(python) = pillow() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (w, h) = (133, 71);
    let mut lossy = Vec::new();
    let mut exact = Vec::new();
    let size = (w as usize, h as usize);
    let contents = [
        samples::text(size.0, size.1),
        samples::photo(size.0, size.1),
        samples::flat(size.0, size.1),
    ];
    for (number, pixels) in contents.iter().enumerate() {
        for encoding in [Png, PngP, Webp, Jpeg] {
            for quality in [30, 80, 95] {
                let coded = encode(
                    image(pixels, w, h),
                    &How {
                        quality,
                        ..how(encoding)
                    },
                );
                let name = format!("{number}-{}-{quality}", encoding.name().replace('/', ""));
                std::fs::write(dir.path().join(&name), bytes(&coded)).unwrap();
                if encoding == Jpeg { &mut lossy } else { &mut exact }.push((name, number));
            }
        }
    }
    let script = r"
import glob
from PIL import Image
for name in glob.glob('*-*-*'):
    open(name + '.raw', 'wb').write(Image.open(name).convert('RGBX').tobytes('raw', 'BGRX'))
";
    run(&python, script, dir.path());
    let read = |name: &str| std::fs::read(dir.path().join(format!("{name}.raw"))).unwrap();
    for (name, number) in &exact {
        assert!(colours(&read(name)) == colours(&contents[*number]), "{name}");
    }
    for (name, number) in &lossy {
        let file = std::fs::read(dir.path().join(name)).unwrap();
        let theirs = read(name);
        let ours = decode(&packet(Jpeg, file), w, h).unwrap();
        assert!(psnr(&theirs, &ours) > 35.0, "{name}: {}", psnr(&theirs, &ours));
        assert!(psnr(&theirs, &contents[*number]) > 22.0, "{name}");
    }
}

/// Python interpreters with an xpra to import: 6.5.5 and Debian's 3.1.3.
fn xpras() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let candidates = [
        home.join(".cache/xpra-peers/xpra-6.5.5/bin/python"),
        PathBuf::from("/usr/bin/python3"),
    ];
    let works = |python: &PathBuf| {
        let script = "import xpra.codecs.pillow.decoder, xpra.net.compression";
        Command::new(python)
            .args(["-c", script])
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let found: Vec<_> = candidates.into_iter().filter(works).collect();
    if found.is_empty() {
        eprintln!("skipped: no xpra to import");
    }
    found
}

#[test]
fn xpra_reads_ours() {
    let (w, h) = (133u32, 71u32);
    let pixels = samples::text(w as usize, h as usize);
    let premultiplied: Vec<u8> = (0..w * h)
        .flat_map(|i| [i % 100, i % 90, i % 80, 100].map(|v| v as u8))
        .collect();
    let clear = Image::new(&premultiplied, Size::new(w, h), w as usize * 4, PixelFormat::Bgra).unwrap();
    for python in xpras() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, data: &[u8]| std::fs::write(dir.path().join(name), data).unwrap();
        write("expected", &pixels);
        for encoding in [Png, PngP, Webp, Jpeg] {
            let coded = encode(image(&pixels, w, h), &how(encoding));
            write(
                &format!("file-{}", coded.encoding.name().replace('/', "_")),
                bytes(&coded),
            );
        }
        write("alpha-png", bytes(&encode(clear, &how(Png))));
        write("lz4", bytes(&encode(image(&pixels, w, h), &how(Encoding::Rgb32))));
        let script = r"
import glob
from PIL import Image
from xpra.codecs.pillow.decoder import decompress
try:
    from xpra.util.objects import typedict
    from xpra.net.lz4.lz4 import decompress as unlz4
except ImportError:
    from xpra.util import typedict
    from xpra.net.compression import decompress_by_name
    unlz4 = lambda data: decompress_by_name(data, 'lz4')
expected = open('expected', 'rb').read()
rgb = Image.frombytes('RGB', (133, 71), expected, 'raw', 'BGRX').tobytes()
names = glob.glob('file-*')
assert len(names) == 4, names
for name in names:
    coding = name[5:].replace('_', '/')
    # 6.5 returns the size as well.
    form, data, *_, stride = decompress(coding, open(name, 'rb').read(), typedict({}))
    found = Image.frombytes('RGB', (133, 71), bytes(data), 'raw', form if form in ('RGB', 'RGBX') else 'RGBX', stride).tobytes()
    if coding == 'jpeg':
        assert sum(abs(a - b) for a, b in zip(found, rgb)) < 8 * len(rgb), name
    else:
        assert found == rgb, name
form, data, *_ = decompress('png', open('alpha-png', 'rb').read(), typedict({}))
assert form == 'RGBA' and bytes(data)[3] == 100, (form, bytes(data)[:4])
assert bytes(unlz4(open('lz4', 'rb').read())) == expected
";
        run(&python, script, dir.path());
    }
}

#[test]
fn we_read_pillows() {
    let Some(python) = pillow() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.raw"), samples::photo(133, 71)).unwrap();
    std::fs::write(dir.path().join("text.raw"), samples::text(133, 71)).unwrap();
    let script = r"
from PIL import Image
for source in ('in', 'text'):
    image = Image.frombytes('RGB', (133, 71), open(source + '.raw', 'rb').read(), 'raw', 'BGRX', 133 * 4)
    def save(name, picture, **options):
        name = source + '-' + name
        picture.save(name, **options)
        open(name + '.raw', 'wb').write(Image.open(name).convert('RGB').tobytes())
    for level in (0, 1, 9):
        save('%i.png' % level, image, compress_level=level)
    for colours in (2, 4, 16, 256):
        save('P%i.png' % colours, image.quantize(colours))
    save('1.png', image.convert('1'))
    save('L.png', image.convert('L'))
    save('L.jpg', image.convert('L'))
    for quality in (1, 30, 75, 100):
        for sampling in (0, 1, 2):
            for progressive in (False, True):
                name = '%i-%i-%i.jpg' % (quality, sampling, progressive)
                save(name, image, quality=quality, subsampling=sampling, progressive=progressive, optimize=progressive)
        save('%i.webp' % quality, image, quality=quality)
    save('restart.jpg', image, restart_marker_blocks=3)
    for method in (0, 3, 6):
        save('lossless%i.webp' % method, image, lossless=True, method=method)
        save('P%i.webp' % method, image.quantize(7).convert('RGB'), lossless=True, method=method)
";
    run(&python, script, dir.path());
    let mut count = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let encoding = match path.extension().and_then(|extension| extension.to_str()) {
            Some("png") => Png,
            Some("jpg") => Jpeg,
            Some("webp") => Webp,
            _ => continue,
        };
        let ours = decode(&packet(encoding, std::fs::read(&path).unwrap()), 133, 71);
        let ours = ours.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let theirs: Vec<u8> = std::fs::read(
            path.with_file_name(format!("{}.raw", path.file_name().unwrap().to_str().unwrap())),
        )
        .unwrap()
        .chunks_exact(3)
        .flat_map(|p| [p[2], p[1], p[0], 255])
        .collect();
        let least = if encoding == Png || path.to_str().unwrap().contains("less") {
            90.0
        } else {
            33.0
        };
        let db = psnr(&ours, &theirs);
        assert!(db > least, "{}: {db:.1} dB", path.display());
        count += 1;
    }
    assert!(count > 80, "only {count} files");
}
