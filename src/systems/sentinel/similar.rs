//! Which keys somebody may have meant by a key that is not there. Pure: candidates for exact look-ups, and ranking.

/// Keys longer than this get no candidates: the list would grow past what is cheap to look up.
const LONGEST: usize = 48;

/// Every key one slip of the finger away from `key`: a character left out, doubled, swapped, mistyped or missing, other
/// case, stray blanks. They are looked up exactly, through the primary key.
pub fn one_edit_away(key: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut push = |candidate: String| {
        if candidate != key && !candidate.is_empty() {
            out.push(candidate);
        }
    };
    push(key.trim().to_owned());
    push(key.to_lowercase());
    push(key.to_uppercase());
    let chars: Vec<char> = key.chars().collect();
    if chars.len() > LONGEST {
        out.sort_unstable();
        out.dedup();
        return out;
    }
    let mut alphabet: Vec<char> =
        ('a'..='z').chain('0'..='9').chain("-_:./".chars()).chain(chars.iter().copied()).collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let build =
        |head: &[char], middle: &[char], tail: &[char]| head.iter().chain(middle).chain(tail).collect::<String>();
    for at in 0..=chars.len() {
        let (head, tail) = chars.split_at(at);
        if let Some((_, rest)) = tail.split_first() {
            push(build(head, &[], rest));
            for letter in &alphabet {
                push(build(head, &[*letter], rest));
            }
        }
        if let [first, second, rest @ ..] = tail {
            push(build(head, &[*second, *first], rest));
        }
        for letter in &alphabet {
            push(build(head, &[*letter], tail));
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// A key without its namespace.
fn bare(key: &str) -> &str {
    key.split_once(':').map_or(key, |(_, bare)| bare)
}

/// The few of `keys` that resemble `key` most, the most similar first.
pub fn closest(key: &str, keys: Vec<String>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = keys
        .into_iter()
        .filter(|candidate| candidate != key)
        .map(|candidate| {
            let begins = !key.is_empty() && (candidate.starts_with(key) || key.starts_with(&candidate));
            let likeness = strsim::normalized_damerau_levenshtein(key, &candidate);
            let least = if bare(&candidate) == bare(key) {
                0.95
            } else if begins {
                0.85
            } else {
                0.0
            };
            (likeness.max(least), candidate)
        })
        .filter(|(score, _)| *score >= 0.75)
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
    scored.dedup_by(|left, right| left.1 == right.1);
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_candidates() {
        for meant in ["payment-order-789"] {
            for typed in [
                "payment-oder-789",
                "payment-order-78",
                "paymnet-order-789",
                "payment-order-788",
                "Payment-Order-789",
                " payment-order-789",
            ] {
                assert!(one_edit_away(typed).iter().any(|candidate| candidate == meant), "{typed}");
            }
        }
        assert!(one_edit_away(&"x".repeat(5000)).len() < 5);
        assert!(one_edit_away("").iter().all(|candidate| !candidate.is_empty()));
    }

    #[test]
    fn the_closest_come_first_and_strangers_not_at_all() {
        let keys = ["payment-order-700", "payment-order-789", "zebra"].map(String::from).to_vec();
        assert_eq!(closest("payment-oder-789", keys)[0], "payment-order-789");
        assert_eq!(closest("order", vec!["order-17".into(), "zebra".into()]), ["order-17"]);
        let keys = ["order-70", "payments:order-7", "order-77"].map(String::from).to_vec();
        assert_eq!(closest("order-7", keys.clone())[0], "payments:order-7");
        assert_eq!(closest("emails:order-7", keys), ["payments:order-7"]);
    }
}
