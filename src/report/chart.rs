//! Charts as values: panels that share an x axis, drawn to SVG with style classes, a name and a description. No colour is decided here.

pub mod axis;
mod capacity_figure;
pub mod figures;
pub mod gate_figures;
mod gate_levels;
pub mod ink;
mod plan_figures;
mod probe_figure;
mod reason_figures;
mod render;
mod restyle;
mod sweep_figures;

pub use axis::{Axis, Scale};
pub use capacity_figure::capacity;
pub use gate_levels::levels;
pub use ink::{Ink, Key, Marker, Sample};
pub use plan_figures::{frontier, timelines};
pub use probe_figure::probe;
pub use reason_figures::{break_even, headroom, tornado};
pub use sweep_figures::{knee, steps};

/// Points of a line, x and y.
pub type Points = Vec<(f64, f64)>;

/// Something drawn in a panel. Values are in the units of the axes; `NaN` interrupts a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A line through points, with a marker at some of them.
    Line {
        /// The points, in order of x.
        points: Points,
        /// Its ink.
        ink: Ink,
        /// Its marker.
        marker: Marker,
    },
    /// The area between a line and the bottom of the panel.
    Area {
        /// The points of the line.
        points: Points,
        /// Its ink.
        ink: Ink,
    },
    /// Rectangles: from x, to x, from y, to y.
    Boxes {
        /// The rectangles.
        boxes: Vec<[f64; 4]>,
        /// Their ink.
        ink: Ink,
    },
    /// Single points.
    Points {
        /// The points.
        points: Points,
        /// Their ink.
        ink: Ink,
        /// Their marker.
        marker: Marker,
    },
    /// A horizontal line over the whole width, with its name above the left end.
    Rule {
        /// Where.
        y: f64,
        /// Its name.
        text: String,
    },
    /// A word beside a point.
    Note {
        /// The point.
        at: (f64, f64),
        /// The word.
        text: String,
    },
}

/// One panel of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Height in pixels at natural size.
    pub height: u32,
    /// The y axis; its label stands above the panel.
    pub y: Axis,
    /// What is drawn, from back to front.
    pub layers: Vec<Layer>,
}

/// A span of x that says its values when pointed at.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// From.
    pub from: f64,
    /// To.
    pub to: f64,
    /// What it says.
    pub text: String,
}

/// How wide a chart is by nature. Text has 13 px there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 580 px: two beside each other on a wide screen.
    Half,
    /// 1,080 px.
    Full,
}

impl Width {
    /// Pixels.
    #[must_use]
    pub fn pixels(self) -> u32 {
        match self {
            Self::Half => 580,
            Self::Full => 1080,
        }
    }
}

/// A chart: panels above each other that share one x axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Identifier, unique in the page, letters and `-` only.
    pub id: &'static str,
    /// What it shows.
    pub title: String,
    /// What one sees in it, in sentences, with the main figures: for those who do not see it.
    pub description: String,
    /// How wide.
    pub width: Width,
    /// The shared x axis.
    pub x: Axis,
    /// The panels, from top to bottom.
    pub panels: Vec<Panel>,
    /// The legend.
    pub keys: Vec<Key>,
    /// Spans that speak when pointed at.
    pub hits: Vec<Hit>,
    /// The numbers behind it.
    pub table: Table,
}

impl Chart {
    /// The chart as one SVG element; the same bytes for the same chart. Empty when it cannot be drawn: the table remains.
    #[must_use]
    pub fn svg(&self) -> String {
        render::svg(self).unwrap_or_default()
    }
}

/// Rows and columns of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Heads of the columns, with units.
    pub head: Vec<String>,
    /// The rows; the first cell names its row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }
}

/// Text for element content and attributes of HTML and SVG: markup made harmless, characters that XML forbids replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
