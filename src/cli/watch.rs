//! Looking again and again: `sen watch`, and `--watch` on the commands that list. What is seen and how it is laid out is
//! pure (`picture`, `board`, `draw`); the loop that asks, listens and redraws is `live`, and `lines` is for pipes.

pub mod board;
pub mod draw;
pub mod lines;
pub mod live;
pub mod pace;
pub mod picture;
pub mod repeat;

#[cfg(test)]
mod tests;
