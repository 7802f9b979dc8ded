//! How large the tests are.

/// The factor of `SEN_TEST_SCALE`: 1 every day, 100 at full size (`full`), and what lies between.
#[track_caller]
pub fn scale() -> f64 {
    match std::env::var("SEN_TEST_SCALE") {
        Err(_) => 1.0,
        Ok(text) if text == "full" => 100.0,
        Ok(text) => match text.parse::<f64>() {
            Ok(scale) if (0.0..=100.0).contains(&scale) => scale,
            _ => panic!("SEN_TEST_SCALE is a number up to 100, or `full`, not {text:?}"),
        },
    }
}

/// A size between that of every day (scale 1 and below) and the full one (scale 100).
pub fn sized(every_day: usize, full: usize) -> usize {
    sized_at(every_day, full, scale())
}

/// The same at another scale than the one that is set.
pub fn sized_at(every_day: usize, full: usize, scale: f64) -> usize {
    let share = ((scale - 1.0) / 99.0).clamp(0.0, 1.0);
    every_day + (full.saturating_sub(every_day) as f64 * share).round() as usize
}
