//! JSON text indented for a terminal, and cut where it is long. Works on text, so that numbers keep their spelling and deep
//! nesting needs no stack.

/// A piece of layout: what fits, and whether that is all.
pub struct Pretty {
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// Whether something was left out.
    pub cut: bool,
}

/// Lays out compact, clean `json` with two blanks a level, up to `max_lines` lines and `max_bytes` bytes.
pub fn pretty(json: &str, max_lines: usize, max_bytes: usize) -> Pretty {
    let mut lines = vec![String::new()];
    let mut depth = 0_usize;
    let mut spent = 0;
    let mut quoted = false;
    let mut escaped = false;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        let last = lines.len() - 1;
        let before = lines[last].len();
        let mut fresh = false;
        if quoted {
            lines[last].push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                '{' | '[' => {
                    lines[last].push(c);
                    while chars.peek() == Some(&' ') {
                        chars.next();
                    }
                    if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                        lines[last].push(close);
                    } else {
                        depth += 1;
                        fresh = true;
                    }
                }
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    lines.push(format!("{}{c}", "  ".repeat(depth)));
                }
                ',' => {
                    lines[last].push(c);
                    fresh = true;
                }
                ':' => lines[last].push_str(": "),
                ' ' => {}
                _ => {
                    quoted = c == '"';
                    lines[last].push(c);
                }
            }
        }
        if fresh {
            lines.push("  ".repeat(depth));
        }
        spent += if lines.len() - 1 == last { lines[last].len() - before } else { lines.last().map_or(0, String::len) };
        if lines.len() > max_lines || spent > max_bytes {
            lines.truncate(max_lines);
            return Pretty { lines, cut: chars.peek().is_some() };
        }
    }
    Pretty { lines, cut: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out() {
        let laid = pretty(r#"{"a": [1.10,{}],"b":"x,\"{"}"#, 40, 4096);
        assert_eq!(laid.lines, ["{", "  \"a\": [", "    1.10,", "    {}", "  ],", "  \"b\": \"x,\\\"{\"", "}"]);
        assert!(!laid.cut);
    }

    #[test]
    fn long_and_deep_documents_are_cut() {
        let deep = pretty(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), 40, 4096);
        assert!(deep.cut && deep.lines.len() == 40);
        let long = pretty(&format!("\"{}\"", "x".repeat(1 << 20)), 40, 4096);
        assert!(long.cut && long.lines[0].len() < 4200);
    }
}
