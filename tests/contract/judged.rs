//! Asks for the same records in every way there is, and compares what is said of each.

use std::collections::{BTreeMap, BTreeSet};

use sen_core::model::listing::Choice;
use sen_core::registry::{Access, open as open_database};
use sen_core::stores::url::Target;
use serde_json::Value;

use crate::harness::sen::sen;

/// Records of one kind in one database, and how to ask for them.
pub(crate) struct Kind<'a> {
    pub(crate) url: &'a str,
    /// The words that list them.
    pub(crate) list: &'a [&'a str],
    /// The words that show some of them in detail.
    pub(crate) show: &'a [&'a str],
    /// The field of a list with the name of a record.
    pub(crate) id: &'a str,
    /// The field with the stored state.
    pub(crate) stored: &'a str,
    /// Every state that `--state` takes.
    pub(crate) states: &'a [&'a str],
    /// Those of them that no record of these tables can have.
    pub(crate) never: &'a [&'a str],
    /// Those of them that mean the judged state alone, though a record can be stored under that name, too.
    pub(crate) as_shown: &'a [&'a str],
    /// Where details say something else than the list, because only they look there: the record, and what details say.
    pub(crate) only_in_details: &'a [(&'a str, &'a str)],
}

/// What a list says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The judged state.
    pub(crate) shown: String,
    /// The stored one, in lower case; empty where there is none.
    pub(crate) stored: String,
}

pub(crate) type List = BTreeMap<String, Listed>;

/// Runs `sen` and takes its JSON, whatever its exit code: records that need a person may raise it.
#[track_caller]
fn json(url: &str, words: &[&str]) -> Value {
    let output = sen(words.iter().copied().chain(["-o", "json"])).database(url).run();
    assert!(output.code == 0 || output.code == 1, "{words:?} ended with {}: {}", output.code, output.stderr);
    output.json()
}

impl Kind<'_> {
    #[track_caller]
    fn listed(&self, more: &[&str]) -> List {
        let answer = json(self.url, &[self.list, more].concat());
        let rows = answer.as_array().unwrap_or_else(|| panic!("no list: {answer}"));
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let named = |row: &Value| {
            let stored = text(row, self.stored).to_ascii_lowercase();
            (text(row, self.id), Listed { shown: text(row, "state"), stored })
        };
        let list: List = rows.iter().map(named).collect();
        assert_eq!(list.len(), rows.len(), "a record is listed twice: {answer}");
        list
    }

    /// Compares everything; `expected` is the judged state of each record. Returns the list.
    #[track_caller]
    pub(crate) fn agrees(&self, expected: &BTreeMap<String, String>) -> List {
        let list = self.listed(&["--limit", "0"]);
        let shown: BTreeMap<String, String> = list.iter().map(|(id, row)| (id.clone(), row.shown.clone())).collect();
        assert_eq!(
            differences(&shown, expected),
            Vec::<String>::new(),
            "{:?}: the list against what is right",
            self.list
        );
        assert_eq!(self.listed(&["--limit", "1000"]), list, "{:?}: a page against all", self.list);
        self.every_state_occurs(&list);
        self.details_agree(&list);
        self.filters_agree(&list);
        list
    }

    fn every_state_occurs(&self, list: &List) {
        let there: BTreeSet<&str> = list.values().flat_map(|row| [&*row.shown, &*row.stored]).collect();
        for state in self.states {
            assert_ne!(there.contains(state), self.never.contains(state), "{:?}: {state} in {there:?}", self.list);
        }
        for row in list.values() {
            assert!(self.states.contains(&&*row.shown), "{:?}: --state does not take {}", self.list, row.shown);
        }
    }

    fn details_agree(&self, list: &List) {
        let ids: Vec<&str> = list.keys().map(String::as_str).collect();
        let answer = json(self.url, &[self.show, &ids].concat());
        let told: BTreeMap<String, String> = answer
            .as_array()
            .unwrap_or_else(|| panic!("no list: {answer}"))
            .iter()
            .map(|one| (one["id"].as_str().unwrap().to_owned(), one["verdict"]["state"].as_str().unwrap().to_owned()))
            .collect();
        let mut right: BTreeMap<String, String> =
            list.iter().map(|(id, row)| (id.clone(), row.shown.clone())).collect();
        for (id, state) in self.only_in_details {
            let before = right.insert((*id).to_owned(), (*state).to_owned());
            assert_ne!(before.as_deref(), Some(*state), "{id}: the list says so, too");
        }
        assert_eq!(differences(&told, &right), Vec::<String>::new(), "{:?}: details against the list", self.show);
    }

    fn filters_agree(&self, list: &List) {
        let with = |states: &[&str]| {
            let has = |row: &Listed| {
                let stored = &*row.stored;
                states.contains(&&*row.shown) || (states.contains(&stored) && !self.as_shown.contains(&stored))
            };
            list.iter().filter(|(_, row)| has(row)).map(|(id, row)| (id.clone(), row.clone())).collect::<List>()
        };
        for state in self.states {
            let found = self.listed(&["--limit", "0", "--state", state]);
            assert_eq!(found, with(&[state]), "{:?} --state {state}", self.list);
        }
        // Two at once are both, whichever two.
        for pair in self.states.windows(2) {
            let found = self.listed(&["--limit", "0", "--state", &pair.join(",")]);
            assert_eq!(found, with(pair), "{:?} --state {}", self.list, pair.join(","));
        }
    }
}

/// What `watch` shows of a system is what its list says is under way: `open` picks that from the list.
pub(crate) fn active_agrees(url: &str, system: &str, list: &List, open: impl Fn(&Listed) -> bool) {
    let active = |limit| {
        let target = Target::resolve(Some(url), &|_| None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = open_database(&target, Access::Watch, None).await.unwrap();
            database.system(system).unwrap().active(limit).await.unwrap()
        })
    };
    let shown = active(1000).into_iter().map(|one| (one.id, one.state.to_owned())).collect();
    let open = list.iter().filter(|(_, row)| open(row));
    let expected: BTreeMap<String, String> = open.map(|(id, row)| (id.clone(), row.shown.clone())).collect();
    assert!(expected.len() > 1, "{system}: too little is under way: {list:?}");
    assert_eq!(differences(&shown, &expected), Vec::<String>::new(), "{system}: active against the list");
    assert_eq!(active(1).len(), 1, "{system}: the limit");
}

/// Where two sets of states differ, in words.
fn differences(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) -> Vec<String> {
    let ids: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differ = ids.into_iter().filter(|id| left.get(*id) != right.get(*id));
    differ.map(|id| format!("{id}: {:?}, not {:?}", left.get(id), right.get(id))).collect()
}

/// How many records have each of these words.
pub(crate) fn grouped<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// What `sen status` says of one system.
pub(crate) struct Status(Value);

impl Status {
    #[track_caller]
    pub(crate) fn of(url: &str, system: &str) -> Self {
        let status = json(url, &["status"]);
        let systems = status["systems"].as_array().unwrap();
        Self(
            systems
                .iter()
                .find(|one| one["system"] == system)
                .unwrap_or_else(|| panic!("no {system}: {status}"))
                .clone(),
        )
    }

    /// The counts under this name, without those of nothing.
    #[track_caller]
    pub(crate) fn counts(&self, name: &str) -> BTreeMap<String, i64> {
        let counts = self.0[name].as_array().unwrap_or_else(|| panic!("no {name}: {}", self.0)).iter();
        let counts = counts.map(|row| (row["state"].as_str().unwrap().to_owned(), row["count"].as_i64().unwrap()));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Where `status` says how many there are of a state and how to list them, the list has as many.
    #[track_caller]
    pub(crate) fn attention_agrees(&self, url: &str) {
        let mut followed = 0;
        for item in self.0["attention"].as_array().unwrap() {
            let (command, text) = (item["next"][0]["command"].as_str().unwrap(), item["summary"].as_str().unwrap());
            if !command.contains(" --state ") {
                continue;
            }
            let words: Vec<&str> = command.split(' ').skip(1).chain(["--limit", "0"]).collect();
            let state = words.iter().skip_while(|word| **word != "--state").nth(1).unwrap();
            // Some states are also the stored name of others; what is meant is what is shown.
            let rows = json(url, &words);
            let found = rows.as_array().unwrap().iter().filter(|row| row["state"] == **state).count();
            let said: usize = text.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("no number: {text}"));
            assert_eq!(said, found, "{text:?}, and {command:?}");
            followed += 1;
        }
        assert!(followed > 0, "nothing needs attention: {}", self.0);
    }
}

/// All names of a choice.
pub(crate) fn names<C: Choice>() -> Vec<&'static str> {
    C::ALL.iter().map(|choice| choice.name()).collect()
}
