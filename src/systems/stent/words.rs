//! Words that all texts share.

pub(crate) use sen_model::text::many;
use sen_model::time::wall::Wall;

/// A span between two readings of the workers' clock, in words.
pub(crate) fn span(from: Wall, to: Wall) -> String {
    sen_model::time::age(to.as_micros().saturating_sub(from.as_micros()).max(0))
}

/// A step's name.
pub(crate) fn name(step: Option<&str>) -> &str {
    step.unwrap_or("(unnamed)")
}

/// How long ago something was.
pub(crate) fn since(from: Option<Wall>, now: Wall) -> String {
    from.map_or_else(|| "an unknown time".into(), |from| span(from, now))
}
