//! Styles of the dashboard, readable on a light and on a dark background.

use ratatui::style::{Color, Modifier, Style};
use sen_core::model::verdict::Severity;

/// Styles, with or without colour.
#[derive(Clone, Copy)]
pub struct Brush {
    /// Whether there is colour.
    pub color: bool,
    /// Whether the picture is an old one.
    pub faint: bool,
}

impl Brush {
    /// A foreground colour.
    pub fn paint(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// How much attention something needs.
    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            _ if self.faint => self.dim(),
            Severity::Critical => self.paint(Color::Red).add_modifier(Modifier::BOLD),
            // Yellow letters cannot be read on a light background.
            Severity::Warning if self.color => Style::new().fg(Color::Black).bg(Color::Yellow),
            Severity::Warning => Style::new().add_modifier(Modifier::BOLD),
            Severity::Pending | Severity::Ok => Style::new(),
        }
    }

    /// What matters less.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Plain text.
    pub fn plain(self) -> Style {
        if self.faint { self.dim() } else { Style::new() }
    }

    /// What matters more.
    pub fn bold(self) -> Style {
        self.plain().add_modifier(Modifier::BOLD)
    }
}
