//! `sen watch`, and `--watch` on commands that list. Content and layout are pure (`picture`, `page`, `board`, `draw`, `leaf`); `live` is the loop
//! that queries, handles keys and draws, and `lines` is for pipes.

pub mod board;
pub mod brush;
pub mod draw;
pub mod found;
pub mod leaf;
pub mod lines;
pub mod live;
pub mod pace;
pub mod page;
pub mod picture;
pub mod repeat;

#[cfg(test)]
mod tests;
