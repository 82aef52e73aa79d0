//! Small drawings in the text's colour; each stands beside a word, so all are hidden from screen readers.
use maud::{Markup, PreEscaped, html};

/// A drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    /// All is well.
    Check,
    /// Something moves.
    Moving,
    /// Something waits.
    Clock,
    /// Something failed.
    Cross,
    /// Look here.
    Alert,
    /// Nothing.
    Dash,
    /// Went back.
    Back,
    /// A rollout.
    Wave,
    /// A model.
    Cube,
    /// A device.
    Chip,
    /// Statistics.
    Bars,
    /// The history.
    List,
    /// The plane itself.
    Gear,
    /// The fleet.
    Hive,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Check => "M3 8.5 6.5 12 13 4.5",
            Self::Moving => {
                "M2.5 8a5.5 5.5 0 0 1 9.6-3.7M13.5 8a5.5 5.5 0 0 1-9.6 3.7M12.4 1.6v2.9H9.5M3.6 14.4v-2.9h2.9"
            }
            Self::Clock => "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 4.8V8l2.2 1.6",
            Self::Cross => "M4 4l8 8M12 4l-8 8",
            Self::Alert => "M8 2 14.5 13.5h-13zM8 6.2v3.4M8 11.6v.3",
            Self::Dash => "M4 8h8",
            Self::Back => "M6 3 2.5 6.5 6 10M2.5 6.5H10a3.5 3.5 0 0 1 0 7H7",
            Self::Wave => "M1.5 6c2.2-2.4 4.3-2.4 6.5 0s4.3 2.4 6.5 0M1.5 11c2.2-2.4 4.3-2.4 6.5 0s4.3 2.4 6.5 0",
            Self::Cube => "M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM2.5 5 8 8.2 13.5 5M8 8.2v6",
            Self::Chip => {
                "M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14"
            }
            Self::Bars => "M2.5 13.5h11M4 13.5V9M8 13.5V3M12 13.5V6.5",
            Self::List => "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.3M2.5 8h.3M2.5 12h.3",
            Self::Gear => {
                "M8 5.7a2.3 2.3 0 1 0 0 4.6 2.3 2.3 0 0 0 0-4.6M8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6 5 5M11 11l1.4 1.4M3.6 12.4 5 11M11 5l1.4-1.4"
            }
            Self::Hive => {
                "M5 1.8 8 3.5v3.4L5 8.6 2 6.9V3.5zM11 1.8l3 1.7v3.4l-3 1.7-3-1.7M8 7.2l3 1.7v3.4L8 14l-3-1.7V8.6"
            }
        }
    }

    /// Draws it.
    pub fn draw(self) -> Markup {
        html! { svg class="icon" viewBox="0 0 16 16" aria-hidden="true" { path d=(self.path()) {} } }
    }
}

/// The logo: a small boat under sail, ahead of a wave.
pub fn logo() -> Markup {
    PreEscaped(
        concat!(
            r#"<svg class="logo" viewBox="0 0 32 32" aria-hidden="true">"#,
            r#"<path class="sail" d="M15 4v15H5.5C6 12 9.600 7 15 4z"/><path class="jib" d="M17.500 7.500c4 2.500 6.500 6.500 7 11.500h-7z"/>"#,
            r#"<path class="hull" d="M4 21.500h24c-.8 3.600-3.200 6-6.500 6h-11c-3.300 0-5.700-2.400-6.500-6z"/></svg>"#
        )
        .to_owned(),
    )
}
