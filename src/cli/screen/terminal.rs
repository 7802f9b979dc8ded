//! Colour and width of a stream, decided from flags, environment and device. Pure; the streams are in `screen.rs`.

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// Where a terminal can show it
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether to use colour.
    pub color: bool,
    /// Whether it can only print (`TERM=dumb`).
    pub dumb: bool,
    /// Columns to fit into; `None` where nothing limits a line.
    pub width: Option<usize>,
    /// Lines that fit on the screen.
    pub height: Option<usize>,
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Stream {
    /// Decides for a stream that is a `terminal` or not and has `size` (columns, lines) if it could be had.
    pub fn decide(choice: ColorChoice, env: Env<'_>, terminal: bool, size: Option<(usize, usize)>) -> Self {
        Self {
            terminal,
            color: color(choice, env, terminal),
            dumb: env("TERM").is_some_and(|term| term == "dumb" || term.is_empty()),
            width: width(env, terminal, size),
            height: size.map(|(_, lines)| lines),
        }
    }
}

/// The flag, then NO_COLOR (any non-empty value), CLICOLOR_FORCE, CLICOLOR=0, TERM=dumb, then the device.
fn color(choice: ColorChoice, env: Env<'_>, terminal: bool) -> bool {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR").is_some() => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => {
            terminal && set("CLICOLOR").as_deref() != Some("0") && set("TERM").as_deref() != Some("dumb")
        }
    }
}

/// COLUMNS where it is set (also into a pipe: that is how `watch` says it), then the device, 80 for one that does not tell.
fn width(env: Env<'_>, terminal: bool, size: Option<(usize, usize)>) -> Option<usize> {
    let columns = env("COLUMNS").and_then(|text| text.trim().parse().ok()).filter(|columns| *columns > 0);
    columns.or_else(|| terminal.then(|| size.map_or(80, |(columns, _)| columns)))
}

/// The pager's command: SEN_PAGER, else PAGER, else `less`; `None` where the variable is empty or says `cat`.
pub fn pager(env: Env<'_>) -> Option<String> {
    let command = env("SEN_PAGER").or_else(|| env("PAGER")).unwrap_or_else(|| "less".to_owned());
    let command = command.trim();
    (!command.is_empty() && command != "cat").then(|| command.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(choice: ColorChoice, vars: &[(&str, &str)], terminal: bool) -> Stream {
        let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Stream::decide(choice, &env, terminal, terminal.then_some((100, 30)))
    }

    #[test]
    fn colours() {
        let auto = |vars: &[(&str, &str)], terminal| decide(ColorChoice::Auto, vars, terminal).color;
        assert!(auto(&[], true) && !auto(&[], false));
        assert!(!auto(&[("NO_COLOR", "1")], true) && auto(&[("NO_COLOR", "")], true));
        assert!(auto(&[("CLICOLOR_FORCE", "1")], false) && !auto(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!auto(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(!auto(&[("CLICOLOR", "0")], true) && !auto(&[("TERM", "dumb")], true));
        assert!(decide(ColorChoice::Always, &[("NO_COLOR", "1")], false).color);
        assert!(!decide(ColorChoice::Never, &[("CLICOLOR_FORCE", "1")], true).color);
    }

    #[test]
    fn widths() {
        let width = |vars: &[(&str, &str)], terminal| decide(ColorChoice::Auto, vars, terminal).width;
        assert_eq!(width(&[], true), Some(100));
        assert_eq!(width(&[], false), None);
        assert_eq!(width(&[("COLUMNS", "60")], true), Some(60));
        assert_eq!(width(&[("COLUMNS", "60")], false), Some(60));
        assert_eq!(width(&[("COLUMNS", "0")], true), Some(100));
        assert_eq!(width(&[("COLUMNS", "wide")], false), None);
    }

    #[test]
    fn pagers() {
        let pager = |vars: &'static [(&str, &str)]| {
            super::pager(&|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(pager(&[]).as_deref(), Some("less"));
        assert_eq!(pager(&[("PAGER", "more")]).as_deref(), Some("more"));
        assert_eq!(pager(&[("PAGER", "more"), ("SEN_PAGER", "")]), None);
        assert_eq!(pager(&[("PAGER", "cat")]), None);
    }
}
