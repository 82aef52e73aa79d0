//! Tree ensembles: `TreeEnsembleClassifier`, `TreeEnsembleRegressor` (versions 1 to 3) and `TreeEnsemble` (version 5).
//!
//! Both forms of a file become [`Plan`]s: branches that point to each other, checked to be trees (or graphs without a
//! way back). [`Forest`] lays a plan out for answering: nodes of 16 bytes, the two children of a branch side by side,
//! [`walk`] goes down eight trees, or eight rows, at once. [`Classifier`] and [`Regressor`] make scores of leaves.

mod classify;
mod forest;
mod leaf_form;
mod node_form;
mod plan;
mod regress;
mod walk;

pub use classify::{Classifier, Winner};
pub use forest::{Aggregate, Forest};
pub use leaf_form::LeafForm;
pub use node_form::NodeTables;
pub use plan::{Mode, Node, Plan, TreeError};
pub use regress::Regressor;
