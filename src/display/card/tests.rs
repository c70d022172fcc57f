use super::*;
use crate::system::Alarm;

const HD: Size = Size::new(1280, 720);

fn whole(card: &mut TestCard) -> Vec<u8> {
    let rect = card.size().rect();
    card.capture(&[rect]).unwrap()[0].1.data().to_vec()
}

#[test]
fn numbers_are_read_back_from_every_format() {
    for format in [PixelFormat::Bgrx, PixelFormat::Rgb] {
        let stride = 200 * format.bytes();
        let mut data = vec![0x55; stride * 30];
        for frame in [0, 1, 77, 0x8000_0001, 0xdead_beef, u32::MAX] {
            let mut canvas = Canvas::new(&mut data, Size::new(200, 30), stride, format).unwrap();
            write_frame_number(&mut canvas, frame);
            assert_eq!(read_frame_number(&canvas.image()), Some(frame));
        }
        for byte in [0, 0x55, 0xff] {
            data.fill(byte);
            let image = Image::new(&data, Size::new(200, 30), stride, format).unwrap();
            assert_eq!(read_frame_number(&image), None);
        }
        let small = Image::new(&data, Size::new(100, 20), stride, format).unwrap();
        assert_eq!(read_frame_number(&small), None);
    }
}

#[test]
fn numbers_survive_noise_and_mixed_frames_are_told() {
    let size = Size::new(NUMBER.w, NUMBER.h);
    let stride = size.w as usize * 4;
    let mut data = vec![0; stride * size.h as usize];
    let mut canvas = Canvas::new(&mut data, size, stride, PixelFormat::Bgrx).unwrap();
    write_frame_number(&mut canvas, 1234);
    for (i, byte) in (0u8..=255).cycle().zip(&mut data) {
        *byte = if *byte > 0 { 255 - i % 100 } else { i % 100 };
    }
    let image = Image::new(&data, size, stride, PixelFormat::Bgrx).unwrap();
    assert_eq!(read_frame_number(&image), Some(1234));
    // The first row of cells is of another frame.
    let mut canvas = Canvas::new(&mut data, size, stride, PixelFormat::Bgrx).unwrap();
    canvas.span(0, 0, size.w).fill(0);
    for y in 0..8 {
        canvas.span(0, y, 16).fill(0xff);
    }
    assert_eq!(read_frame_number(&canvas.image()), None);
}

#[test]
fn frames_come_in_time_and_change_the_part_asked_for() {
    let mut card = TestCard::new(HD, 50, 0.3);
    let clock = card.clock();
    let wake = Alarm::new().unwrap();
    let start = clock.frame_time(0).unwrap();
    for _ in 0..5 {
        let before = whole(&mut card);
        let mut events = Vec::new();
        card.wait(wake.wake(), None, &mut events).unwrap();
        let after = whole(&mut card);
        let rect = HD.rect();
        let number = read_frame_number(&card.capture(&[rect]).unwrap()[0].1).unwrap();
        assert_eq!(clock.latest().unwrap().0, number);
        let painted = clock.frame_time(number).unwrap();
        assert!(painted.duration_since(start) >= Duration::from_millis(20) * number);
        let rects: Vec<_> = events
            .iter()
            .map(|event| match event {
                ScreenEvent::Damaged(rect) => *rect,
                event => panic!("{event:?}"),
            })
            .collect();
        let mut changed = 0u32;
        for (i, (a, b)) in before.chunks_exact(4).zip(after.chunks_exact(4)).enumerate() {
            if a != b {
                changed += 1;
                let at = Rect::new(
                    i32::try_from(i % 1280).unwrap(),
                    i32::try_from(i / 1280).unwrap(),
                    1,
                    1,
                );
                assert!(
                    rects.iter().any(|rect| rect.contains(at)),
                    "{at} changed unreported"
                );
            }
        }
        let part = f64::from(changed) / f64::from(1280 * 720);
        assert!((0.27..0.33).contains(&part), "{part} changed");
    }
    assert_eq!(clock.frame_time(1_000_000), None);
}

#[test]
fn a_frame_follows_from_its_number() {
    let mut a = TestCard::new(HD, 0, 0.3);
    let mut b = TestCard::new(HD, 0, 0.3);
    (a.frame, b.frame) = (5, 91);
    a.paint();
    b.paint();
    b.frame = 5;
    b.paint();
    assert_eq!(whole(&mut a), whole(&mut b));
}

#[test]
fn odd_sizes_and_fractions_do_no_harm() {
    for (w, h) in [(0, 0), (1, 1), (192, 24), (191, 25), (3, 8192), (100_000, 2)] {
        for fraction in [-1.0, 0.0, 0.5, 1.0, 99.0, f64::NAN, f64::INFINITY] {
            let mut card = TestCard::new(Size::new(w, h), 1000, fraction);
            let size = card.size();
            assert!(!size.is_empty() && size.w <= 8192);
            card.frame = 3;
            card.paint();
            assert_eq!(card.capture(&[size.rect()]).unwrap().len(), 1);
        }
    }
}

#[test]
fn a_still_card_sleeps_and_answers() {
    let mut card = TestCard::new(HD, 0, 0.3);
    let wake = Alarm::new().unwrap();
    let mut events = Vec::new();
    card.wait(wake.wake(), Some(Duration::from_millis(30)), &mut events)
        .unwrap();
    assert_eq!(events, []);
    card.input(&Input::ReleaseAll).unwrap();
    assert_eq!(card.clock().inputs(), 1);
    assert_eq!(card.resize(Size::new(640, 480)).unwrap(), Size::new(640, 480));
    card.read(9, Selection::Primary);
    card.wait(wake.wake(), None, &mut events).unwrap();
    let text = ClipboardEvent::Text {
        request: 9,
        selection: Selection::Primary,
        text: None,
    };
    assert_eq!(
        events,
        [
            ScreenEvent::Resized(Size::new(640, 480)),
            ScreenEvent::Clipboard(text)
        ]
    );
}
