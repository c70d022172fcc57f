use super::interval;
use super::view::{Action, View};
use crate::codec::Value;
use crate::telemetry::{GRAPHS, History, Sample};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

fn tree<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(k, v)| (Value::from(k), v)).collect())
}

fn spread(middle: f64) -> Value {
    let numbers = [
        ("cur", 1.1),
        ("min", 0.5),
        ("max", 3.0),
        ("avg", 1.05),
        ("50p", 1.0),
        ("90p", 1.6),
        ("95p", 2.0),
        ("99p", 2.5),
    ];
    tree(numbers.map(|(key, factor)| (key, Value::Float(middle * factor))))
}

/// What a server says after that many seconds of a link that fills up and is found out.
fn info(second: u32) -> Value {
    let t = f64::from(second);
    let queue = 40.0 * (-(t - 20.0).abs() / 6.0).exp();
    let wave = (t / 4.0).sin();
    let rate = |bytes: f64| tree([("bytes", (bytes * t).into()), ("bytes-per-second", bytes.into())]);
    let network = tree([
        ("transport", "ssl".into()),
        ("input", rate(2_000.0 + 500.0 * wave)),
        ("output", rate(1_100_000.0 + 120_000.0 * wave)),
        ("picture-latency", spread(58.0 + queue + 4.0 * wave)),
        (
            "path",
            tree([
                ("wait", spread(4.0 + wave)),
                ("encode", spread(2.0)),
                ("host-queue", spread(3.0 + wave)),
                ("network-queue", spread(6.0 + queue)),
                ("transmission", spread(18.0 + wave)),
                ("propagation", spread(20.0)),
                ("decode", spread(1.5)),
            ]),
        ),
        (
            "ping-latency",
            tree([("client", spread(41.0 + queue)), ("server", spread(42.0 + queue))]),
        ),
        (
            "delivery",
            tree([
                ("window", (60_000.0 - 500.0 * queue).into()),
                ("in-flight", (40_000.0 + 9_000.0 * wave).into()),
            ]),
        ),
        (
            "tcp",
            tree([("rtt", (40.0 + queue).into()), ("retransmits", 3.into())]),
        ),
        (
            "lanes",
            tree([(
                "kernel",
                tree([("unsent-bytes", (3_000.0 + 2_000.0 * wave).into())]),
            )]),
        ),
    ]);
    let frames = |jpeg: i64| tree([("jpeg", jpeg.into()), ("png", 12.into())]);
    let client = tree([
        ("uuid", "u".into()),
        ("type", "xpra-rs".into()),
        ("username", "ada".into()),
        ("hostname", "laptop".into()),
        ("elapsed_time", second.into()),
        ("network", network),
        (
            "connection",
            tree([
                ("endpoint", "192.0.2.7:40000".into()),
                (
                    "ssl",
                    tree([
                        ("version", "TLSv1.3".into()),
                        ("cipher", "TLS13_AES_256_GCM_SHA384".into()),
                    ]),
                ),
            ]),
        ),
        (
            "window",
            tree([(
                "1",
                tree([
                    ("size", vec![1280, 720].into()),
                    ("total_frames", frames(900)),
                    ("total_pixels", frames(250_000_000)),
                ]),
            )]),
        ),
    ]);
    tree([
        ("client", client),
        ("display", ":20".into()),
        ("server", tree([("version", "6.5.5".into())])),
    ])
}

fn watched() -> View {
    let mut history = History::new(100);
    for second in 0..60 {
        history.push(Sample::read(
            &info(second),
            Duration::from_secs(second.into()),
            "",
        ));
    }
    View::new(history, true)
}

fn press(view: &mut View, code: KeyCode) -> Action {
    view.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn shown(view: &mut View, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n")
        .collect::<String>()
        .replace('\u{a0}', " ")
}

#[test]
fn each_tab_has_what_it_is_for_at_any_size() {
    for (width, height) in [(80, 24), (40, 12), (200, 60)] {
        let mut view = watched();
        let mut see = |key: char, expected: &[&str]| {
            assert_eq!(press(&mut view, KeyCode::Char(key)), Action::Draw);
            let text = text(&shown(&mut view, width, height));
            for word in expected {
                assert!(text.contains(word), "{word} is not in {width}x{height}:\n{text}");
            }
        };
        see(
            '1',
            &["Graphs", "Bandwidth", "Mbit/s", "ada@laptop", "client 1 of 1"],
        );
        see('2', &["Connection", "TLSv1.3", "192.0.2.7:40000"]);
        see('3', &["Windows", "1280x720", "jpeg", "900", "png"]);
        see('4', &["Statistics", "picture latency", "95p"]);
        // smaller than anything
        for (width, height) in [(1, 1), (3, 2), (10, 4), (500, 3)] {
            shown(&mut view, width, height);
            press(&mut view, KeyCode::Tab);
        }
    }
}

#[test]
fn wide_terminals_have_all_graphs_and_narrow_ones_scroll_to_them() {
    let all = text(&shown(&mut watched(), 200, 60));
    let mut view = watched();
    let mut seen = String::new();
    for _ in 0..GRAPHS.len() {
        seen += &text(&shown(&mut view, 40, 12));
        press(&mut view, KeyCode::Down);
    }
    for graph in GRAPHS {
        assert!(all.contains(graph.title), "{all}");
        // in few columns names are broken
        assert!(seen.contains(graph.title.split(' ').next().unwrap()), "{seen}");
    }
}

#[test]
fn lines_differ_by_colour_and_are_named_with_their_values() {
    let buffer = shown(&mut watched(), 80, 24);
    let colours = buffer.content.iter().map(|cell| cell.fg);
    let drawn: Vec<_> = colours.filter(|colour| *colour != Color::Reset).collect();
    assert!(drawn.contains(&Color::Blue) && drawn.contains(&Color::Red));
    assert!(text(&buffer).contains("95 % "), "{}", text(&buffer));
}

#[test]
fn without_colours_lines_differ_by_what_they_are_drawn_with() {
    let mut view = watched();
    view = View::new(view.history, false);
    let text = text(&shown(&mut view, 118, 32));
    for symbol in ["⠒ out", "• in", "█ TCP", "▄ network queue"] {
        assert!(text.contains(symbol), "{text}");
    }
    assert!(text.matches('•').count() > 20, "{text}");
}

#[test]
fn what_a_server_does_not_tell_is_said() {
    let mut history = History::new(10);
    let old = tree([("client", tree([("uuid", "u".into())]))]);
    history.push(Sample::read(&old, Duration::ZERO, ""));
    let mut view = View::new(history, true);
    assert!(text(&shown(&mut view, 80, 24)).contains("out not told"));
    press(&mut view, KeyCode::Char('2'));
    let text = text(&shown(&mut view, 80, 24));
    assert!(
        text.contains("Not told by this server") && text.contains("picture latency"),
        "{text}"
    );
    assert!(text.contains("No TLS"), "{text}");
}

#[test]
fn nobody_and_nothing() {
    let mut view = View::new(History::new(10), true);
    assert!(text(&shown(&mut view, 80, 24)).contains("Nobody uses the session"));
    press(&mut view, KeyCode::Char('n'));
    view.history.push(Sample::default());
    assert!(text(&shown(&mut view, 40, 12)).contains("Nobody uses the session"));
}

#[test]
fn keys() {
    let mut view = watched();
    assert_eq!(press(&mut view, KeyCode::Char('q')), Action::Leave);
    assert_eq!(press(&mut view, KeyCode::Esc), Action::Leave);
    let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.handle(&Event::Key(control)), Action::Leave);
    assert_eq!(press(&mut view, KeyCode::Char('x')), Action::Nothing);
    assert_eq!(view.handle(&Event::Resize(1, 1)), Action::Draw);
    press(&mut view, KeyCode::BackTab);
    assert!(
        text(&shown(&mut view, 80, 24)).contains("picture latency"),
        "the last tab"
    );
}

#[test]
fn intervals() {
    assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
    for wrong in ["0", "-1", "x", "NaN", "inf", "1e9"] {
        assert!(interval(wrong).is_err(), "{wrong}");
    }
}

/// The picture of the README is what the view draws now. With `XPRA_RS_REDRAW` set it is drawn again.
#[test]
fn the_picture_in_the_readme_is_current() {
    let drawn = picture(&shown(&mut watched(), 118, 32));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/command/session_info/view.svg");
    if std::env::var_os("XPRA_RS_REDRAW").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == drawn,
        "look at the view, then run this test with XPRA_RS_REDRAW=1"
    );
}

/// A terminal as SVG, readable on light and on dark ground.
fn picture(buffer: &Buffer) -> String {
    const CELL: (u16, u16) = (8, 17);
    let (width, height) = (buffer.area.width * CELL.0 + 16, buffer.area.height * CELL.1 + 16);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>session-info in a terminal</title>\n\
         <style>text{{font:13px ui-monospace,monospace;fill:#222;white-space:pre}}.g{{fill:#fff}}.b{{font-weight:700}}.d{{opacity:.65}}\
         .Blue{{fill:#0a6cc4}}.Red{{fill:#b3243f}}.Green{{fill:#1f8a3b}}.Magenta{{fill:#8a2fb0}}.Cyan{{fill:#00837d}}.Yellow{{fill:#8f7000}}.Gray{{fill:#777}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.g{{fill:#15181c}}.Blue{{fill:#5cb3ff}}.Red{{fill:#ff8299}}.Green{{fill:#6fd68a}}\
         .Magenta{{fill:#d19bf0}}.Cyan{{fill:#5ad1cb}}.Yellow{{fill:#e8c94a}}.Gray{{fill:#aaa}}}}</style>\n\
         <rect class=\"g\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let first = &buffer[(x, y)];
            let same = |at: &u16| {
                let cell = &buffer[(*at, y)];
                (cell.fg, cell.modifier) == (first.fg, first.modifier)
            };
            let end = (x..buffer.area.width).take_while(same).last().unwrap() + 1;
            let run: String = (x..end).map(|at| buffer[(at, y)].symbol()).collect();
            if !run.trim().is_empty() {
                let mut class = if first.fg == Color::Reset {
                    String::new()
                } else {
                    format!("{}", first.fg)
                };
                for (modifier, name) in [(Modifier::BOLD, " b"), (Modifier::DIM, " d")] {
                    if first.modifier.contains(modifier) {
                        class += name;
                    }
                }
                let run = run
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace(' ', "\u{a0}");
                let (left, top, wide) = (x * CELL.0 + 8, y * CELL.1 + 21, (end - x) * CELL.0);
                writeln!(
                    out,
                    "<text class=\"{}\" x=\"{left}\" y=\"{top}\" textLength=\"{wide}\" lengthAdjust=\"spacingAndGlyphs\">{run}</text>",
                    class.trim()
                )
                .unwrap();
            }
            x = end;
        }
    }
    out + "</svg>\n"
}
