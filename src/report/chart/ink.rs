//! Inks: what a line or an area means, as a style class. Never a colour: the page's style sheet has those, for light, dark and paper.

/// The meaning of a mark. Its style class names colour, dash and width together, so that no meaning rests on colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ink {
    /// First series: solid.
    First,
    /// Second series: long dashes.
    Second,
    /// Third series: dots.
    Third,
    /// Fourth series: dash and dot.
    Fourth,
    /// Fifth series: short dashes.
    Fifth,
    /// Area below the first series.
    FirstArea,
    /// Area below the second series.
    SecondArea,
    /// Area of the third series.
    ThirdArea,
    /// A bound that must not be passed.
    Bound,
    /// A span of time or values set apart.
    Shade,
    /// What is missing: capacity on its way.
    Lag,
    /// A miss or an error.
    Miss,
    /// What the sample is too small for.
    Faint,
    /// Axes.
    Axis,
    /// Grid lines.
    Grid,
    /// Text.
    Text,
}

impl Ink {
    /// Every ink, in the order of its code.
    pub const ALL: [Self; 16] = [
        Self::First,
        Self::Second,
        Self::Third,
        Self::Fourth,
        Self::Fifth,
        Self::FirstArea,
        Self::SecondArea,
        Self::ThirdArea,
        Self::Bound,
        Self::Shade,
        Self::Lag,
        Self::Miss,
        Self::Faint,
        Self::Axis,
        Self::Grid,
        Self::Text,
    ];

    /// Name of the style class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::First => "k1",
            Self::Second => "k2",
            Self::Third => "k3",
            Self::Fourth => "k4",
            Self::Fifth => "k5",
            Self::FirstArea => "a1",
            Self::SecondArea => "a2",
            Self::ThirdArea => "a3",
            Self::Bound => "kb",
            Self::Shade => "as",
            Self::Lag => "al",
            Self::Miss => "km",
            Self::Faint => "kf",
            Self::Axis => "kx",
            Self::Grid => "kg",
            Self::Text => "kt",
        }
    }
}

/// Shape of the points of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// None.
    None,
    /// Filled circle.
    Circle,
    /// Filled square.
    Square,
    /// Filled triangle.
    Triangle,
    /// Cross.
    Cross,
    /// Ring.
    Ring,
}

/// What a legend shows of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A piece of line with its marker.
    Line,
    /// The marker alone.
    Point,
    /// A patch of area.
    Area,
}

/// An entry of a legend, which the page shows as text beside a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its ink.
    pub ink: Ink,
    /// Its marker.
    pub marker: Marker,
    /// What is shown of it.
    pub sample: Sample,
    /// What it is, with unit.
    pub text: String,
}

impl Key {
    /// A line, with markers or without.
    #[must_use]
    pub fn line(ink: Ink, marker: Marker, text: impl Into<String>) -> Self {
        Self { ink, marker, sample: Sample::Line, text: text.into() }
    }

    /// Single points.
    #[must_use]
    pub fn point(ink: Ink, marker: Marker, text: impl Into<String>) -> Self {
        Self { ink, marker, sample: Sample::Point, text: text.into() }
    }

    /// An area.
    #[must_use]
    pub fn area(ink: Ink, text: impl Into<String>) -> Self {
        Self { ink, marker: Marker::None, sample: Sample::Area, text: text.into() }
    }

    /// The sample, 34 x 14, as SVG without a word in it.
    #[must_use]
    pub fn svg(&self) -> String {
        let class = self.ink.class();
        let body = match self.sample {
            // Patches of inks that are lines elsewhere need the class that fills.
            Sample::Area => {
                format!(r#"<rect class="{class}{}" x="4" y="4" width="128" height="48"/>"#, if class.starts_with('k') { " m" } else { "" })
            }
            Sample::Line => line(class) + &marker(self.marker, class),
            Sample::Point => marker(self.marker, class),
        };
        format!(r#"<svg class="sample" viewBox="0 0 136 56" aria-hidden="true">{body}</svg>"#)
    }
}

fn line(class: &str) -> String {
    format!(r#"<polyline class="{class}" points="4,28 132,28"/>"#)
}

fn marker(marker: Marker, class: &str) -> String {
    match marker {
        Marker::None => String::new(),
        Marker::Circle => format!(r#"<circle class="{class} m" cx="68" cy="28" r="16"/>"#),
        Marker::Ring => format!(r#"<circle class="{class} r" cx="68" cy="28" r="18"/>"#),
        Marker::Square => format!(r#"<rect class="{class} m" x="54" y="14" width="28" height="28"/>"#),
        Marker::Triangle => format!(r#"<polygon class="{class} m" points="68,10 84,40 52,40"/>"#),
        Marker::Cross => format!(r#"<polyline class="{class} c" points="54,14 82,42"/><polyline class="{class} c" points="82,14 54,42"/>"#),
    }
}
