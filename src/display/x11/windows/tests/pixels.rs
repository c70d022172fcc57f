use super::super::surface::Sharing;
use super::{ID, Stage, plaid};
use crate::display::{FilePixels, NewWindow, WindowEvent, WindowMetadata, Windows as _};
use crate::types::{PixelFormat, Point, Rect, Size, WindowId};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, WindowClass};
use x11rb::wrapper::ConnectionExt as _;

fn expected(size: Size, inside: Rect) -> Vec<[u8; 3]> {
    let black_or = |x: u32, y: u32| {
        let (left, top) = (u32::try_from(inside.x).unwrap(), u32::try_from(inside.y).unwrap());
        let inside = (left..left + inside.w).contains(&x) && (top..top + inside.h).contains(&y);
        if inside { plaid(x, y) } else { [0; 3] }
    };
    (0..size.h)
        .flat_map(|y| (0..size.w).map(move |x| black_or(x, y)))
        .collect()
}

/// Paints a part, resizes larger and smaller, is exposed; every pixel of the screen is as it should.
fn pixels_arrive(sharing: bool) {
    let Some(mut stage) = Stage::sharing(sharing) else {
        return;
    };
    assert_eq!(stage.windows.sharing != Sharing::None, sharing);
    let rect = Rect::new(20, 10, 500, 300);
    assert_eq!(stage.show_at(ID, rect), rect);
    let part = Rect::new(17, 23, 301, 99);
    stage.paint(ID, part, plaid);
    assert!(stage.screen(rect) == expected(rect.size(), part));
    // Parts outside the window are cut off.
    stage
        .windows
        .present(ID, &[Rect::new(-5, -5, 10, 10), Rect::new(499, 299, 1 << 31, 9)])
        .unwrap();

    // Another window comes and goes.
    let conn = &stage.other;
    let cover = conn.generate_id().unwrap();
    let aux = CreateWindowAux::new()
        .override_redirect(1)
        .background_pixel(0xff_ffff);
    let class = WindowClass::INPUT_OUTPUT;
    conn.create_window(24, cover, stage.root, 40, 40, 200, 200, 0, class, 0, &aux)
        .unwrap();
    conn.map_window(cover).unwrap();
    conn.sync().unwrap();
    assert_eq!(stage.screen(Rect::new(50, 50, 1, 1)), [[0xff; 3]]);
    stage.other.destroy_window(cover).unwrap();
    stage.events();
    assert!(stage.screen(rect) == expected(rect.size(), part), "exposed");

    // Growing keeps everything, the rest is black.
    for size in [Size::new(510, 301), Size::new(700, 580)] {
        let rect = resize(&mut stage, size);
        assert!(stage.screen(rect) == expected(size, part), "{size}");
    }
    // What was cut off is black when the window grows again.
    let small = resize(&mut stage, Size::new(90, 80));
    let left = small.size().rect().intersect(part).unwrap();
    assert!(stage.screen(small) == expected(small.size(), left));
    let grown = resize(&mut stage, Size::new(520, 310));
    assert!(stage.screen(grown) == expected(grown.size(), left));
}

fn resize(stage: &mut Stage, size: Size) -> Rect {
    stage.windows.move_resize(ID, None, size).unwrap();
    let rect = stage.until("configured", |event| match event {
        WindowEvent::Configured(ID, rect) => Some(*rect),
        _ => None,
    });
    assert_eq!(rect, Rect::new(20, 10, size.w, size.h));
    assert_eq!(stage.windows.canvas(ID).unwrap().unwrap().size(), size);
    stage.events();
    rect
}

#[test]
fn a_size_from_before_the_last_takes_nothing_away() {
    let Some(mut stage) = Stage::new() else { return };
    stage.show_at(ID, Rect::new(20, 10, 400, 300));
    stage.events();
    let smaller = ConfigureWindowAux::new().width(100).height(90);
    stage.other.configure_window(stage.xid(ID), &smaller).unwrap();
    stage.other.sync().unwrap();
    // Before its event is seen the server of the session resizes and paints.
    let size = Size::new(500, 400);
    stage.windows.move_resize(ID, None, size).unwrap();
    stage.paint(ID, size.rect(), plaid);
    stage.events();
    assert!(stage.screen(Rect::new(20, 10, 500, 400)) == expected(size, size.rect()));
    stage.other.configure_window(stage.xid(ID), &smaller).unwrap();
    let small = Rect::new(20, 10, 100, 90);
    assert_eq!(stage.events(), [WindowEvent::Configured(ID, small)]);
    assert_eq!(stage.windows.canvas(ID).unwrap().unwrap().size(), small.size());
}

#[test]
fn pixels_arrive_through_shared_memory() {
    pixels_arrive(true);
}

#[test]
fn pixels_arrive_without_shared_memory() {
    pixels_arrive(false);
}

#[test]
fn pictures_beyond_one_request_are_split() {
    let Some(mut stage) = Stage::sharing(false) else {
        return;
    };
    let rect = Rect::new(0, 0, 800, 600);
    stage.show_at(ID, Rect::new(0, 0, 5000, 3000)); // 60 MB; a request has 16 MB
    stage.paint(ID, Rect::new(0, 0, 5000, 3000), plaid);
    assert!(stage.screen(rect) == expected(rect.size(), rect));
}

#[test]
fn the_canvas_waits_for_the_display() {
    let Some(mut stage) = Stage::new() else { return };
    let rect = Rect::new(0, 0, 640, 480);
    stage.show_at(ID, rect);
    for turn in 0..50u8 {
        stage.paint(ID, rect, |_, _| [turn; 3]);
        assert!(stage.windows.windows[&ID].surface.in_flight());
        let canvas = stage.windows.canvas(ID).unwrap().unwrap();
        assert_eq!(canvas.format(), PixelFormat::Bgrx);
        assert!(!stage.windows.windows[&ID].surface.in_flight());
    }
    // A request that fails is not waited for: the window is gone behind our back.
    stage.other.destroy_window(stage.xid(ID)).unwrap();
    stage.other.sync().unwrap();
    stage.windows.present(ID, &[rect]).unwrap();
    assert!(stage.windows.canvas(ID).unwrap().is_some());
    stage.windows.destroy(ID).unwrap();
    stage.events();
}

#[test]
fn a_screen_keeps_its_size_in_a_smaller_window() {
    let Some(mut stage) = Stage::new() else { return };
    let metadata = WindowMetadata {
        shadow: Some(true),
        ..WindowMetadata::default()
    };
    let rect = Rect::new(0, 0, 1000, 900);
    stage.show(
        ID,
        &NewWindow {
            rect,
            metadata,
            ..NewWindow::default()
        },
    );
    let smaller = ConfigureWindowAux::new().x(10).y(20).width(300).height(200);
    stage.other.configure_window(stage.xid(ID), &smaller).unwrap();
    let configured = WindowEvent::Configured(ID, Rect::new(10, 20, 300, 200));
    assert!(stage.events().contains(&configured));
    stage.paint(ID, rect, plaid);
    let inside = Rect::new(0, 0, 300, 200);
    assert!(stage.screen(Rect::new(10, 20, 300, 200)) == expected(inside.size(), inside));
    let larger = ConfigureWindowAux::new().x(0).y(0).width(800).height(600);
    stage.other.configure_window(stage.xid(ID), &larger).unwrap();
    stage.events();
    let screen = Rect::new(0, 0, 800, 600);
    assert!(
        stage.screen(screen) == expected(screen.size(), screen),
        "the rest was painted already"
    );
    stage.windows.move_resize(ID, None, Size::new(1100, 200)).unwrap();
    stage.events();
    assert_eq!(
        stage.windows.canvas(ID).unwrap().unwrap().size(),
        Size::new(1100, 200)
    );
}

#[test]
fn alpha_windows_have_alpha_pixels() {
    let Some(mut stage) = Stage::new() else { return };
    let metadata = WindowMetadata {
        has_alpha: Some(true),
        ..WindowMetadata::default()
    };
    let rect = Rect::new(3, 3, 20, 20);
    stage.show(
        ID,
        &NewWindow {
            rect,
            override_redirect: true,
            metadata,
        },
    );
    assert_eq!(
        stage
            .other
            .get_geometry(stage.xid(ID))
            .unwrap()
            .reply()
            .unwrap()
            .depth,
        32
    );
    assert_eq!(
        stage.windows.canvas(ID).unwrap().unwrap().format(),
        PixelFormat::Bgra
    );
    stage.paint(ID, rect.size().rect(), plaid);
    assert!(stage.screen(rect) == expected(rect.size(), rect.size().rect()));
}

#[test]
fn absurd_windows_are_refused() {
    let Some(mut stage) = Stage::new() else { return };
    for (w, h) in [(0, 5), (16385, 1), (1, 1 << 20), (u32::MAX, u32::MAX)] {
        let window = NewWindow {
            rect: Rect::new(0, 0, w, h),
            ..NewWindow::default()
        };
        assert!(stage.windows.create(ID, &window).is_err(), "{w}x{h}");
    }
    let far = Rect::new(i32::MIN, i32::MAX, 10, 10);
    stage.show_at(ID, far);
    let position = Some(Point {
        x: i32::MAX,
        y: i32::MIN,
    });
    stage
        .windows
        .move_resize(ID, position, Size::new(10, 10))
        .unwrap();
    assert!(
        stage
            .windows
            .move_resize(ID, None, Size::new(1 << 20, 1))
            .is_err()
    );
    // Sixteen of the largest take no memory until painted, but they could: some are refused.
    let largest = NewWindow {
        rect: Rect::new(0, 0, 16384, 16384),
        ..NewWindow::default()
    };
    let refused = (2..18)
        .filter(|id| stage.windows.create(WindowId(*id), &largest).is_err())
        .count();
    assert!(refused >= 14, "{refused}");
    assert_eq!(
        stage
            .windows
            .canvas(WindowId(99))
            .unwrap()
            .map(|canvas| canvas.size()),
        None
    );
    stage.windows.destroy(WindowId(99)).unwrap();
}

#[test]
fn two_hundred_windows() {
    let Some(mut stage) = Stage::new() else { return };
    let place = |n: u64| {
        let n = i32::try_from(n).unwrap();
        Rect::new(n % 20 * 40, n / 20 * 60, 38, 58)
    };
    for n in 0..200u64 {
        let window = NewWindow {
            rect: place(n),
            override_redirect: n % 2 == 0,
            ..NewWindow::default()
        };
        stage.windows.create(WindowId(n), &window).unwrap();
    }
    let mut mapped = 0;
    stage.until("all mapped", |event| {
        mapped += usize::from(matches!(event, WindowEvent::Mapped(..)));
        (mapped == 200).then_some(())
    });
    for n in 0..200u64 {
        let grey = n.to_le_bytes()[0];
        stage.paint(WindowId(n), place(n).size().rect(), |_, _| [grey; 3]);
    }
    for n in 0..200u64 {
        assert!(
            stage
                .screen(place(n))
                .iter()
                .all(|pixel| *pixel == [n.to_le_bytes()[0]; 3]),
            "{n}"
        );
        stage.windows.destroy(WindowId(n)).unwrap();
    }
    stage.events();
    assert_eq!(stage.windows.windows.len() + stage.windows.ids.len(), 0);
    assert_eq!(stage.screen(place(7))[0], [0; 3]);
}

#[test]
fn the_display_draws_from_a_file_and_keeps_what_it_drew() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 1 << 20).unwrap();
    assert!(stage.windows.share(std::os::fd::AsFd::as_fd(&file)).unwrap());
    let rect = Rect::new(20, 10, 300, 200);
    stage.show_at(ID, rect);
    stage.events();
    let part = Rect::new(30, 40, 100, 50);
    let stride = 128 * 4;
    for y in 0..part.h {
        let colours = (0..part.w).flat_map(|x| {
            let [b, g, r] = plaid(part.x.unsigned_abs() + x, part.y.unsigned_abs() + y);
            [b, g, r, 0]
        });
        let row: Vec<u8> = colours.collect();
        rustix::io::pwrite(&file, &row, u64::from(8 + y * stride)).unwrap();
    }
    let pixels = FilePixels {
        offset: 8,
        stride,
        format: PixelFormat::Bgrx,
    };
    assert!(stage.windows.show_from(ID, part, pixels).unwrap());
    assert!(stage.windows.show_from(ID, part, pixels).unwrap());
    let released = |stage: &mut Stage| {
        let events = stage.events();
        events
            .iter()
            .filter(|event| **event == WindowEvent::Released)
            .count()
    };
    assert_eq!(released(&mut stage), 2);
    assert!(stage.screen(rect) == expected(rect.size(), part));
    // it is part of the picture: of the canvas, and of what is exposed
    let mut canvas = stage.windows.canvas(ID).unwrap().unwrap();
    assert_eq!(canvas.span(31, 41, 1)[..3], plaid(31, 41));
    let (xid, other) = (stage.xid(ID), &stage.other);
    other.unmap_window(xid).unwrap();
    other.map_window(xid).unwrap();
    stage.events();
    assert!(stage.screen(rect) == expected(rect.size(), part), "exposed");

    // half of it hangs over the edge; what is not this window's kind of pixels, or is no picture, is not taken
    let edge = Rect::new(250, 180, 100, 50);
    assert!(stage.windows.show_from(ID, edge, pixels).unwrap());
    assert_eq!(
        stage.screen(Rect::new(20 + 299, 10 + 199, 1, 1)),
        [plaid(30 + 49, 40 + 19)]
    );
    let other = FilePixels {
        format: PixelFormat::Rgbx,
        ..pixels
    };
    assert!(!stage.windows.show_from(ID, part, other).unwrap());
    let odd = FilePixels { offset: 9, ..pixels };
    assert!(!stage.windows.show_from(ID, part, odd).unwrap());
    assert!(!stage.windows.show_from(WindowId(9), part, pixels).unwrap());
    assert!(
        !stage
            .windows
            .show_from(ID, Rect::new(500, 0, 9, 9), pixels)
            .unwrap()
    );
    // past the end of the file the display refuses, and nothing is waited for
    let far = FilePixels {
        offset: 1 << 20,
        ..pixels
    };
    assert!(stage.windows.show_from(ID, part, far).unwrap());
    assert_eq!(released(&mut stage), 2);
    // a window that goes takes nothing with it
    assert!(stage.windows.show_from(ID, part, pixels).unwrap());
    stage.windows.destroy(ID).unwrap();
    assert_eq!(released(&mut stage), 1);
}

#[test]
fn the_display_survives_a_file_that_becomes_shorter() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 1 << 20).unwrap();
    assert!(stage.windows.share(std::os::fd::AsFd::as_fd(&file)).unwrap());
    stage.show_at(ID, Rect::new(0, 0, 300, 200));
    rustix::fs::ftruncate(&file, 0).unwrap();
    let pixels = FilePixels {
        offset: 8,
        stride: 1200,
        format: PixelFormat::Bgrx,
    };
    assert!(
        stage
            .windows
            .show_from(ID, Rect::new(0, 0, 300, 200), pixels)
            .unwrap()
    );
    stage.until("released", |event| {
        (*event == WindowEvent::Released).then_some(())
    });
    assert_eq!(stage.screen(Rect::new(5, 5, 1, 1)).len(), 1);
}
