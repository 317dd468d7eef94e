//! Whatever is written means what the plain [`reference`](super::reference) says, and nothing that is written does harm.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::reference::{Atom, Factor, Piece, Tree};
use super::{TestHost, meant};
use crate::job::target::{InvalidTarget, Target, Wrong};

/// Names that are hard to tell apart, with every label that a tree may ask for.
fn fleet() -> Vec<TestHost> {
    let groups = ["web", "web.dev", "web.dev.a1", "web.device", "a", "a.b", "1.10.01"];
    let (mut hosts, mut n) = (Vec::new(), 0);
    for start in ["a", "b", "ab", "1"] {
        for number in ["", "0", "1", "01", "2", "9", "10", "11", "001", "101"] {
            for end in ["", "a", "-1"] {
                n += 1;
                let group = format!("g={}", groups[n % groups.len()]);
                let env = if n % 3 == 0 { "env=prod" } else { "env=a-1" };
                let labels = [group.as_str(), env];
                let name = format!("{start}{number}{end}");
                let hostname = format!("{name}.example");
                hosts.push(TestHost::new(&name, &hostname, &labels[..n % 3]));
            }
        }
    }
    let mut seen = BTreeSet::new();
    hosts.retain(|host| seen.insert(host.name.clone()));
    hosts
}

fn piece() -> impl Strategy<Value = Piece> {
    let range = (0_u32..12, 0_u32..12, 0_usize..4).prop_map(|(first, more, width)| {
        let last = first + more;
        // Ends that differ in width are refused where they are padded.
        let width = if width > 0 { width.max(last.to_string().len()) } else { 0 };
        (first, last, width)
    });
    prop_oneof![
        3 => "[ab01-]{1,2}".prop_map(Piece::Text),
        1 => Just(Piece::One),
        2 => Just(Piece::Many),
        2 => vec(range, 1..3).prop_map(Piece::Numbers),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let count = |piece: &Piece| match piece {
        Piece::Numbers(ranges) => ranges.iter().map(|(first, last, _)| last - first + 1).sum(),
        Piece::Text(_) | Piece::One | Piece::Many => 1,
    };
    let is_small = move |pieces: &Vec<Piece>| pieces.iter().map(count).product::<u32>() <= 60;
    vec(piece(), 1..5).prop_filter("ranges make few names", is_small)
}

fn name() -> impl Strategy<Value = Atom> {
    let starts_well = |pieces: &Vec<Piece>| match &pieces[0] {
        Piece::Text(text) => !text.starts_with('-'),
        _ => true,
    };
    pieces().prop_filter("no name starts with '-'", starts_well).prop_map(Atom::Name)
}

fn factor() -> impl Strategy<Value = Factor> {
    let label = (prop_oneof!["g", "env", "k"], vec(pieces(), 1..3));
    let atom = prop_oneof![
        1 => Just(Atom::All),
        4 => name(),
        2 => "[ab1]{1,2}".prop_map(|text| Atom::Name(vec![Piece::Text(text)])),
        3 => label.prop_map(|(key, segments)| Atom::Label(key, segments)),
        1 => "[abAB1]{1,2}\\.[eE]xample".prop_map(Atom::Hostname),
    ];
    (any::<bool>(), atom)
        .prop_map(|(not, atom)| Factor { not: not && !matches!(atom, Atom::All), atom })
}

fn tree() -> impl Strategy<Value = Tree> {
    vec(vec(factor(), 1..4), 1..5).prop_map(Tree)
}

/// The text with spaces where they may be.
fn spaced(text: &str) -> String {
    let mut inside = false;
    let spaced = text.chars().map(|c| {
        inside = c == '[' || inside && c != ']';
        match c {
            ',' | '&' | '!' if !inside => format!(" {c} "),
            c => c.to_string(),
        }
    });
    spaced.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_target_means_what_the_reference_says(tree in tree()) {
        let (hosts, text) = (fleet(), tree.to_string());
        let parsed = text.parse::<Target>();
        if !tree.includes() {
            let only = matches!(parsed, Err(InvalidTarget::At { wrong: Wrong::OnlyExclusions(_), .. }));
            prop_assert!(only, "{text}: {parsed:?}");
            return Ok(());
        }
        let target = parsed.map_err(|err| TestCaseError::fail(format!("{text}: {err}")))?;
        let found: BTreeSet<_> = meant(&target, &hosts).into_iter().map(str::to_owned).collect();
        prop_assert_eq!(&found, &tree.meant(&hosts), "{} is {}", text, target);
        prop_assert_eq!(spaced(&text).parse::<Target>(), Ok(target), "spaces say nothing");
    }

    #[test]
    fn a_target_is_read_back_as_it_was_written(tree in tree()) {
        prop_assume!(tree.includes());
        let target: Target = tree.to_string().parse().unwrap();
        let written = target.to_string();
        prop_assert!(written.len() <= tree.to_string().len(), "it never grows past its bound");
        prop_assert_eq!(written.parse::<Target>(), Ok(target.clone()), "{}", &written);
        prop_assert_eq!(written.parse::<Target>().unwrap().to_string(), written);
    }

    #[test]
    fn no_text_does_harm(text in prop_oneof![".*", "[ab01,&!*?\\[\\]:._ -]{0,40}", "[a,&!*\\[\\]:.]{0,12}"]) {
        match text.parse::<Target>() {
            Ok(Target::Any) => {}
            Ok(target) => {
                meant(&target, &fleet());
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
            Err(InvalidTarget::At { column, .. }) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&column), "{text:?}: {column}");
            }
            Err(err) => prop_assert!(!err.to_string().is_empty()),
        }
    }
}
