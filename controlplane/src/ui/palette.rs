//! Which colour stands for which bundle: by its version, so that it keeps its colour when others come and go.
use pinnace_controlplane_core::views::FleetPage;
use pinnace_protocol::ids::{BundleRef, Family};

use super::limits::BUNDLE_COLOURS;

/// CSS classes of the colours.
const CLASSES: [&str; BUNDLE_COLOURS] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7"];
/// Colours between the same version of two families.
const FAMILY_STEP: u64 = 3;

/// The bundles that a fleet runs.
pub struct Palette {
    /// Bundles in the order of legends: by family, newest version first.
    pub bundles: Vec<BundleRef>,
    families: Vec<Family>,
}

impl Palette {
    /// Returns the palette of a fleet.
    pub fn of(fleet: &FleetPage) -> Self {
        let mut bundles: Vec<BundleRef> = fleet.running.iter().filter_map(|r| r.bundle.clone()).collect();
        bundles.sort_by(|a, b| a.family.cmp(&b.family).then(b.version.cmp(&a.version)));
        let mut families: Vec<Family> = bundles.iter().map(|b| b.family.clone()).collect();
        families.dedup();
        Self { bundles, families }
    }

    /// Returns the number of a bundle's colour; none for no model.
    pub fn colour(&self, bundle: Option<&BundleRef>) -> Option<usize> {
        let bundle = bundle?;
        let family = self.families.iter().position(|f| *f == bundle.family).unwrap_or_default() as u64;
        let place =
            bundle.version.wrapping_sub(1).wrapping_add(family.wrapping_mul(FAMILY_STEP)) % BUNDLE_COLOURS as u64;
        usize::try_from(place).ok()
    }

    /// Returns a bundle's CSS class.
    pub fn class(&self, bundle: Option<&BundleRef>) -> &'static str {
        self.colour(bundle).and_then(|c| CLASSES.get(c)).copied().unwrap_or("v-none")
    }
}
