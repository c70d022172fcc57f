//! [`View`]: the tabs of xpra's "Session Info", in a terminal of any size.

use crate::telemetry::{Client, GRAPHS, Graph, History, METRICS, SPREADS, Sample};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph, Wrap};

/// What is shown, and of which client.
pub(super) struct View {
    pub(super) history: History,
    /// Lines are told apart by colours, else by what they are drawn with.
    has_colours: bool,
    tab: Tab,
    /// Which of the clients.
    chosen: usize,
    /// Lines, or graphs, scrolled past.
    scrolled: u16,
}

/// What somebody's doing something means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Draw,
    Leave,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Graphs,
    Connection,
    Windows,
    Statistics,
}

const TABS: [(Tab, &str); 4] = [
    (Tab::Graphs, "Graphs"),
    (Tab::Connection, "Connection"),
    (Tab::Windows, "Windows"),
    (Tab::Statistics, "Statistics"),
];

/// Seconds that graphs show.
const SPAN: f64 = 60.0;
/// Rows a graph needs to be one.
const GRAPH_ROWS: u16 = 7;
/// Columns from which two graphs have room side by side.
const TWO_COLUMNS: u16 = 110;
/// Colours of lines, readable on light and on dark ground.
const COLOURS: [Color; 7] = [
    Color::Blue,
    Color::Red,
    Color::Green,
    Color::Magenta,
    Color::Cyan,
    Color::Yellow,
    Color::Gray,
];
/// What lines are drawn with where there are no colours, and how that looks.
const MARKERS: [(Marker, &str); 7] = [
    (Marker::Braille, "⠒"),
    (Marker::Dot, "•"),
    (Marker::Block, "█"),
    (Marker::Bar, "▄"),
    (Marker::HalfBlock, "▀"),
    (Marker::Quadrant, "▚"),
    (Marker::Sextant, "🬋"),
];
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

impl View {
    pub(super) const fn new(history: History, has_colours: bool) -> Self {
        Self {
            history,
            has_colours,
            tab: Tab::Graphs,
            chosen: 0,
            scrolled: 0,
        }
    }

    /// The client that is shown.
    pub(super) fn client(&self) -> Option<&Client> {
        let clients = &self.history.last()?.clients;
        clients.get(self.chosen.min(clients.len().saturating_sub(1)))
    }

    /// A key was pressed, or the terminal changed.
    pub(super) fn handle(&mut self, event: &Event) -> Action {
        let key = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => key,
            Event::Resize(..) => return Action::Draw,
            _ => return Action::Nothing,
        };
        let clients = self.history.last().map_or(0, |sample| sample.clients.len());
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Action::Leave,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Leave,
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(TABS.len() - 1),
            KeyCode::Char(digit @ '1'..='4') => {
                let index = usize::try_from(u32::from(digit) - u32::from('1')).unwrap_or(0);
                if let Some((tab, _)) = TABS.get(index) {
                    (self.tab, self.scrolled) = (*tab, 0);
                }
            }
            KeyCode::Char('n') if clients > 0 => self.chosen = (self.chosen + 1) % clients,
            KeyCode::Down | KeyCode::PageDown => self.scrolled = self.scrolled.saturating_add(1),
            KeyCode::Up | KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(1),
            _ => return Action::Nothing,
        }
        Action::Draw
    }

    fn turn(&mut self, by: usize) {
        let at = TABS.iter().position(|(tab, _)| *tab == self.tab).unwrap_or(0);
        if let Some((tab, _)) = TABS.get((at + by) % TABS.len()) {
            (self.tab, self.scrolled) = (*tab, 0);
        }
    }

    /// Draws what there is room for.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let footer = u16::from(frame.area().height >= 10);
        let rows = [
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(1),
            Constraint::Length(footer),
        ];
        let [tabs, about, body, keys] = Layout::vertical(rows).areas(frame.area());
        frame.render_widget(self.tabs(tabs.width), tabs);
        frame.render_widget(Line::styled(self.about(), DIM), about);
        let help = "Tab next  ↑↓ scroll  n next client  q quit";
        frame.render_widget(Line::styled(help, DIM), keys);
        let Some(client) = self.client() else {
            frame.render_widget("Nobody uses the session now.", body);
            return;
        };
        let text = match self.tab {
            Tab::Graphs => {
                self.scrolled = self.graphs(frame, body, client);
                return;
            }
            Tab::Connection => connection(self.history.last(), client, body.width),
            Tab::Windows => windows(client),
            Tab::Statistics => statistics(client, body.width),
        };
        let most = u16::try_from(text.height()).unwrap_or(u16::MAX);
        self.scrolled = self.scrolled.min(most.saturating_sub(body.height));
        let page = Paragraph::new(text).scroll((self.scrolled, 0));
        frame.render_widget(page, body);
    }

    /// The names of the tabs; where they have no room, the chosen one.
    fn tabs(&self, width: u16) -> Line<'static> {
        let all: usize = TABS.iter().map(|(_, name)| name.len() + 3).sum();
        let is_narrow = all > usize::from(width);
        let named = TABS.into_iter().zip(1..).map(|((tab, name), number)| {
            let is_chosen = tab == self.tab;
            let style = if is_chosen {
                BOLD.add_modifier(Modifier::REVERSED)
            } else {
                Style::new()
            };
            let text = if is_narrow && !is_chosen {
                format!(" {number} ")
            } else {
                format!(" {name} ")
            };
            Span::styled(text, style)
        });
        named.collect()
    }

    /// Draws graphs, and says which one is really the first.
    fn graphs(&self, frame: &mut Frame<'_>, area: Rect, client: &Client) -> u16 {
        let columns = if area.width >= TWO_COLUMNS { 2 } else { 1 };
        let rows = (area.height / GRAPH_ROWS).max(1);
        let count = u16::try_from(GRAPHS.len()).unwrap_or(u16::MAX);
        let first = self.scrolled.min(count.saturating_sub(rows * columns));
        let rows = rows.min((count - first).div_ceil(columns));
        let mut shown = GRAPHS.iter().skip(usize::from(first));
        for row in Layout::vertical((0..rows).map(|_| Constraint::Fill(1)))
            .split(area)
            .iter()
        {
            for cell in Layout::horizontal((0..columns).map(|_| Constraint::Fill(1)))
                .spacing(1)
                .split(*row)
                .iter()
            {
                if let Some(graph) = shown.next() {
                    self.draw_graph(frame, *cell, client, graph);
                }
            }
        }
        first
    }

    fn draw_graph(&self, frame: &mut Frame<'_>, area: Rect, client: &Client, graph: &Graph) {
        let mut words = vec![Span::styled(format!("{}  ", graph.title), BOLD)];
        let marks = || COLOURS.into_iter().zip(MARKERS);
        for (line, (colour, (_, symbol))) in graph.lines.iter().zip(marks()) {
            let value = graph.value(line, client);
            // no-break spaces keep a name and its value on one row
            let symbol = if self.has_colours {
                String::new()
            } else {
                format!("{symbol} ")
            };
            let text = format!("{symbol}{} {value}", line.label).replace(' ', "\u{a0}");
            words.extend([Span::styled(text, Style::new().fg(colour)), Span::raw("  ")]);
        }
        let legend = Line::from(words);
        let width = u16::try_from(legend.width()).unwrap_or(u16::MAX);
        let rows = width.div_ceil(area.width.max(1)).min(3);
        let [head, plot] = Layout::vertical([Constraint::Length(rows), Constraint::Min(1)]).areas(area);
        frame.render_widget(Paragraph::new(legend).wrap(Wrap { trim: true }), head);
        let (_, now) = self.history.span();
        let begin = (now - SPAN).max(0.0);
        let (series, most) = self.history.plot(&client.id, graph, begin);
        let sets = series.iter().zip(marks()).map(|(points, (colour, (marker, _)))| {
            Dataset::default()
                .marker(if self.has_colours { Marker::Braille } else { marker })
                .graph_type(GraphType::Line)
                .style(Style::new().fg(colour))
                .data(points)
        });
        let labels = [0.0, most].map(|value| graph.unit.show(value));
        let chart = Chart::new(sets.collect())
            .x_axis(Axis::default().bounds([begin, now.max(begin + 1.0)]).style(DIM))
            .y_axis(Axis::default().bounds([0.0, most]).labels(labels).style(DIM))
            .legend_position(None);
        frame.render_widget(chart, plot);
    }

    /// Whose numbers these are.
    fn about(&self) -> String {
        let Some(sample) = self.history.last() else {
            return String::new();
        };
        let Some(client) = self.client() else {
            return format!("{} clients", sample.clients.len());
        };
        let place = sample.clients.iter().position(|c| c.id == client.id).unwrap_or(0) + 1;
        let user = client
            .fact("username")
            .or_else(|| client.fact("type"))
            .unwrap_or("?");
        let host = client.fact("hostname").unwrap_or("?");
        let transport = client.fact("transport").unwrap_or("?");
        format!(
            "client {place} of {}: {user}@{host}, {transport}",
            sample.clients.len()
        )
    }
}

fn connection(sample: Option<&Sample>, client: &Client, width: u16) -> Text<'static> {
    let server = sample.map_or(&[][..], |sample| &sample.server);
    let mut text = Text::default();
    for facts in [&client.facts[..], server] {
        for fact in facts {
            text.push_line(pair(fact.title, fact.text.clone()));
        }
        text.push_line("");
    }
    if client.fact("tls-version").is_none() {
        text.push_line("No TLS on this connection, or the server does not tell.");
    }
    let missing: Vec<_> = client.missing().map(|metric| metric.title).collect();
    if !missing.is_empty() {
        text.push_line(Line::styled("Not told by this server:", BOLD));
        wrapped(&mut text, &missing, width);
    }
    text
}

/// As many of the words on each line as fit.
fn wrapped(text: &mut Text<'static>, words: &[&str], width: u16) {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && line.len() + word.len() + 3 > usize::from(width) {
            text.push_line(std::mem::take(&mut line));
        }
        line = format!("{line}{}{word}", if line.is_empty() { "  " } else { ", " });
    }
    text.push_line(line);
}

fn pair(title: &str, value: String) -> Line<'static> {
    Line::from(vec![Span::styled(format!("{title:<20} "), DIM), Span::raw(value)])
}

fn windows(client: &Client) -> Text<'static> {
    let mut text = Text::from(Line::styled(
        format!(
            "{:>6} {:>11}  {:<9} {:>9} {:>9}",
            "window", "size", "encoding", "pictures", "pixels"
        ),
        BOLD,
    ));
    for window in &client.windows {
        let size = window.size.map_or_else(String::new, |(w, h)| format!("{w}x{h}"));
        let chosen = window.encoding.clone().unwrap_or_default();
        let mut rows = window.encodings.iter().peekable();
        if rows.peek().is_none() {
            text.push_line(format!("{:>6} {size:>11}  {chosen:<9}", window.id));
        }
        for (index, (encoding, (frames, pixels))) in rows.enumerate() {
            let (id, size) = if index == 0 {
                (window.id.as_str(), size.as_str())
            } else {
                ("", "")
            };
            let pixels = count(*pixels);
            text.push_line(format!(
                "{id:>6} {size:>11}  {encoding:<9} {:>9} {pixels:>9}",
                count(*frames)
            ));
        }
    }
    let more = client.window_count.saturating_sub(client.windows.len());
    if more > 0 {
        text.push_line(format!("and {more} more windows"));
    }
    text
}

fn count(n: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    crate::telemetry::Unit::Count.show(n as f64)
}

fn statistics(client: &Client, width: u16) -> Text<'static> {
    const ALL: [&str; 9] = ["cur", "min", "avg", "50p", "80p", "90p", "95p", "99p", "max"];
    const FEW: [&str; 3] = ["cur", "50p", "95p"];
    let columns: &[&str] = if width >= 100 {
        &ALL
    } else if width >= 60 {
        &["cur", "50p", "90p", "95p", "max"]
    } else {
        &FEW
    };
    let names: String = columns.iter().map(|name| format!("{name:>8}")).collect();
    let mut text = Text::from(Line::styled(format!("{:<16}{names}  ms", "latency"), BOLD));
    for metric in SPREADS {
        let Some(spread) = client.spread(metric.key) else {
            continue;
        };
        let value = |name| {
            spread
                .get(name)
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
        };
        let values: String = columns.iter().map(|name| format!("{:>8}", value(name))).collect();
        text.push_line(format!("{:<16}{values}", metric.title));
    }
    text.push_line("");
    for metric in METRICS {
        if let Some(value) = client.metric(metric.key) {
            text.push_line(format!("{:<32} {}", metric.title, metric.unit.show(value)));
        }
    }
    text
}
