//! Patterns of names: a `*` stands for any text, none included, and everything else for itself.

/// A text with stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Without a star: this name.
    Exactly(String),
    /// What comes before the first star, between stars, and after the last one.
    Parts { first: String, between: Vec<String>, last: String },
}

impl Pattern {
    /// Reads `"web-1"`, `"web-*"` or `"*.eu.*"`.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern is no name's".to_owned());
        }
        let Some((first, rest)) = text.split_once('*') else {
            return Ok(Self::Exactly(text.to_owned()));
        };
        let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let between = between.split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Ok(Self::Parts { first: first.to_owned(), between, last: last.to_owned() })
    }

    /// Whether a name is of this pattern, upper and lower case told apart.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(text) => name == text,
            Self::Parts { first, between, last } => {
                let inside =
                    name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
                // The first place of each part leaves most room for the next ones.
                inside.is_some_and(|inside| after_all(inside, between).is_some())
            }
        }
    }
}

/// What is left of a text behind the first place of each of the parts, one after the other.
fn after_all<'a>(text: &'a str, parts: &[String]) -> Option<&'a str> {
    parts.iter().try_fold(text, |rest, part| Some(rest.split_once(part.as_str())?.1))
}
