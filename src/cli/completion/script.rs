//! The supported shells: their completion scripts, and the format of the candidates that each reads.

use std::ffi::{OsStr, OsString};

/// The second line of every script; it identifies an installed script as this program's.
pub const MARK: &str = "# Completions of sen, written by `sen completions`.";

/// A shell whose script calls the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Bash, 3.2 and later.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

/// The words are put together again first: bash takes a key apart at its colons. What it then inserts replaces only the
/// part behind the last of them.
const BASH: &str = r#"_sen() {
    local rest=${COMP_LINE:0:COMP_POINT} bin=$1 word blank i cut
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        blank=${rest%%[![:space:]]*}
        rest=${rest:${#blank}}
        [[ $i -eq $COMP_CWORD ]] && word=${rest:0:${#word}}
        rest=${rest:${#word}}
        if [[ -z $blank && $i -gt 0 ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
    done
    type -- "$bin" >/dev/null 2>&1 || bin=sen
    word=${words[${#words[@]}-1]}
    cut=${word%"${word##*[:=]}"}
    [[ $COMP_WORDBREAKS == *:* ]] || cut=${cut%"${cut##*=}"}
    # Within quotes bash takes nothing apart.
    [[ $word == [\'\"]* ]] && cut=
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$cut"}")
    done < <("$bin" __complete bash $((${#words[@]} - 1)) -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/=:] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F _sen sen 2>/dev/null || complete -F _sen sen
"#;

const ZSH: &str = r#"_sen() {
    local bin=${(Q)words[1]} value help
    local -a values shown
    (( $+commands[$bin] )) || [[ -x $bin ]] || bin=sen
    while IFS=$'\t' read -r value help; do
        values+=("$value")
        shown+=("${value}${help:+  -- $help}")
    done < <("$bin" __complete zsh $((CURRENT - 1)) -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)
    (( $#values )) || return 1
    if [[ ${#values} -eq 1 && $values[1] == *[/=:] ]]; then
        compadd -S '' -d shown -a -- values
    else
        compadd -l -d shown -a -- values
    fi
}
if [[ $funcstack[1] == _sen ]]; then
    _sen "$@"
else
    compdef _sen sen
fi
"#;

const FISH: &str = r#"function __sen_complete
    set -l words (commandline -opc)
    set -l bin $words[1]
    type -q -- $bin; or set bin sen
    $bin __complete fish (count $words) -- $words (commandline -ct) 2>/dev/null
end
complete -c sen -f -k -a '(__sen_complete)'
"#;

impl Shell {
    /// By name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }

    /// Its script.
    pub fn script(self) -> String {
        match self {
            Self::Bash => format!("# shellcheck shell=bash\n{MARK}\n{BASH}"),
            Self::Zsh => format!("#compdef sen\n{MARK}\n{ZSH}"),
            Self::Fish => format!("# fish\n{MARK}\n{FISH}"),
        }
    }

    /// A word as the program would get it. Bash hands over what was typed, quotes and all; the others do not.
    pub fn unquoted(self, word: &OsStr) -> OsString {
        match (self, word.to_str()) {
            (Self::Bash, Some(text)) => unquoted(text).into(),
            _ => word.to_owned(),
        }
    }

    /// The answer: a line for each value, with what is known of it where the shell shows that. `typed` is the word as it
    /// stands on the line.
    pub fn candidates(self, typed: &OsStr, all: impl Iterator<Item = (String, String)>) -> String {
        let quote = typed.to_str().and_then(|word| word.chars().next()).filter(|c| matches!(c, '\'' | '"'));
        let mut text = String::new();
        for (value, help) in all {
            match self {
                Self::Bash => match within(&value, quote) {
                    Some(word) => text += &word,
                    None => continue,
                },
                Self::Zsh | Self::Fish => {
                    text += &value;
                    if !help.is_empty() {
                        text.push('\t');
                        text.extend(help.chars().filter(|c| !crate::clean::hidden(*c)));
                    }
                }
            }
            text.push('\n');
        }
        text
    }
}

/// What bash is to put behind an open quote, which it closes itself; `None` where no such word can be.
fn within(value: &str, quote: Option<char>) -> Option<String> {
    match quote {
        None => Some(quoted(value)),
        Some('\'') => (!value.contains('\'')).then(|| value.to_owned()),
        Some(_) => {
            let escape = |c: char| if matches!(c, '"' | '$' | '`' | '\\') { vec!['\\', c] } else { vec![c] };
            Some(value.chars().flat_map(escape).collect())
        }
    }
}

/// With a backslash before everything bash would interpret: a common beginning of such words is such a word itself.
fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        let plain = c.is_alphanumeric() || "_-./:=@%+,".contains(c) || !c.is_ascii() || (c == '~' && at > 0);
        if !plain {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Without the quotes and backslashes of a word that may not be finished.
fn unquoted(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut within = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (c, within) {
            ('\\', None | Some('"')) => out.extend(chars.next()),
            ('\'' | '"', None) => within = Some(c),
            (c, Some(quote)) if c == quote => within = None,
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unfinished_words_are_understood() {
        assert_eq!(unquoted("'it'\\''s"), "it's");
        assert_eq!(unquoted("\"a b"), "a b");
        assert_eq!(unquoted("a\\ b\\"), "a b");
        assert_eq!(unquoted("payments:order-1"), "payments:order-1");
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_understood(value in "\\PC{0,20}") {
            prop_assert_eq!(unquoted(&quoted(&value)), value);
        }
    }
}
