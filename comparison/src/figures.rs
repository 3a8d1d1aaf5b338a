//! What comes out: figures, parts, and the whole comparison.

use crate::plot::Line;
use crate::statistics::Measured;
use serde_json::{Value, json};

/// What a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This project's module.
    Ours,
    /// The C module that comes with lighttpd2.
    CModule,
    /// A server without a module for progress.
    NoModule,
    Nginx,
    /// nginx with Nchan, which pushes what it is sent.
    Nchan,
    Apache,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "this module",
            Self::CModule => "C module",
            Self::NoModule => "no module",
            Self::Nginx => "nginx",
            Self::Nchan => "nginx with Nchan",
            Self::Apache => "Apache",
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    pub subject: Subject,
    /// What was measured, such as `poll of a running id / plain`.
    pub what: String,
    /// What it was measured with, such as 4 workers or 10000 entries.
    pub with: Option<(f64, &'static str)>,
    pub measured: Measured,
    pub unit: &'static str,
    /// The most that it may be.
    pub target: Option<f64>,
}

impl Figure {
    pub fn new(subject: Subject, what: impl Into<String>, measured: Measured, unit: &'static str) -> Self {
        Self { subject, what: what.into(), with: None, measured, unit, target: None }
    }

    pub fn with(self, amount: usize, of: &'static str) -> Self {
        Self { with: Some((amount as f64, of)), ..self }
    }

    /// Sets a target, which holds for this project's module only.
    pub fn at_most(self, target: f64) -> Self {
        Self { target: (self.subject == Subject::Ours).then_some(target), ..self }
    }

    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| self.measured.median <= target)
    }

    fn json(&self) -> Value {
        let Measured { median, least, most } = self.measured;
        json!({
            "subject": self.subject.name(),
            "what": self.what,
            "with": self.with.map(|(amount, of)| json!({ "amount": amount, "of": of })),
            "median": median,
            "least": least,
            "most": most,
            "unit": self.unit,
            "target": self.target,
            "met": self.is_met(),
        })
    }
}

/// The figures of a part, or why there are none.
pub struct Part {
    pub number: u32,
    pub title: &'static str,
    pub figures: Vec<Figure>,
    pub curves: Vec<Line>,
    /// What was left out, or went wrong.
    pub notes: Vec<String>,
    pub has_failed: bool,
    /// In seconds.
    pub took: f64,
}

/// All that was measured in one run.
pub struct Comparison {
    /// Names and versions of what took part.
    pub about: Vec<(&'static str, String)>,
    /// Whether the host was the stand-in.
    pub is_on_stand_in: bool,
    pub is_quick: bool,
    pub parts: Vec<Part>,
}

impl Comparison {
    pub fn json(&self) -> Value {
        let part = |part: &Part| {
            json!({
                "number": part.number,
                "title": part.title,
                "seconds": part.took,
                "failed": part.has_failed,
                "notes": part.notes,
                "figures": part.figures.iter().map(Figure::json).collect::<Vec<_>>(),
            })
        };
        let about: serde_json::Map<_, _> =
            self.about.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        json!({
            "about": about,
            "quick": self.is_quick,
            "for_quoting": self.is_for_quoting(),
            "parts": self.parts.iter().map(part).collect::<Vec<_>>(),
        })
    }

    pub fn is_for_quoting(&self) -> bool {
        !self.is_on_stand_in && !self.is_quick
    }

    /// How many targets were met, and how many missed.
    pub fn verdict(&self) -> (usize, usize) {
        let met: Vec<bool> = self.parts.iter().flat_map(|part| &part.figures).filter_map(Figure::is_met).collect();
        let missed = met.iter().filter(|met| !**met).count();
        (met.len() - missed, missed)
    }
}
