//! Which letters a text may have: none that changes how what stands around it is shown.
//!
//! Names and keys end up in logs, on terminals and in answers of daemons that are read line by line. A letter that is not
//! shown as itself could forge a line, move the cursor, or turn the order of the letters around.

/// What is not shown, and changes how other letters are: the Unicode categories Cf (format), Zl and Zp (separators of
/// lines and paragraphs) of Unicode 16. The list is a part of the format, so it does not change with Unicode.
const HIDDEN: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// The first letter of a text that may not be in it: a control character (Unicode category Cc), or one that is
/// [hidden](HIDDEN).
pub(crate) fn unfit_letter(text: &str) -> Option<char> {
    let is_hidden = |letter: char| HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&letter));
    text.chars().find(|letter| letter.is_control() || is_hidden(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_change_how_others_are_shown_are_unfit() {
        for fit in ["web-1", "größe", "東京", "🦀", "a b", "\"'\\", "e\u{301}"] {
            assert_eq!(unfit_letter(fit), None, "{fit:?}");
        }
        for unfit in [
            '\0',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{200d}',
            '\u{2028}',
            '\u{202e}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(unfit_letter(&format!("a{unfit}b")), Some(unfit));
        }
    }

    #[test]
    fn the_ranges_are_in_order() {
        assert!(HIDDEN.iter().all(|(first, last)| first <= last));
        assert!(HIDDEN.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}
