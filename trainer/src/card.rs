//! Model cards: the nine sections of Mitchell et al. (2019) as Markdown.
//!
//! What training knows is filled in. What only a person knows is marked with [`FOR_A_PERSON`];
//! [`open_fields`] counts what is left, so that a publisher can refuse an unfinished card.

use std::fmt::Write;

use crate::PRODUCER;
use crate::evaluate::{Classification, Evaluation, Regression};
use crate::learn::{Algorithm, Task, TrainedModel};

/// Marks a field that a person has to fill in.
pub const FOR_A_PERSON: &str = "**To be written by a person:**";

/// What the card says besides what the model knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Date, RFC 3339.
    pub date: &'a str,
    /// Name of the training data and its SHA-256 in hex.
    pub data: (&'a str, &'a str),
    /// How the holdout was chosen, in a few words.
    pub holdout: &'a str,
    /// Figures on the holdout.
    pub evaluation: &'a Evaluation,
}

/// Returns how many fields of a card a person still has to fill in.
pub fn open_fields(card: &str) -> usize {
    card.matches(FOR_A_PERSON).count()
}

/// Returns the card as Markdown.
pub fn render(model: &TrainedModel, facts: &Facts<'_>) -> String {
    let mut card = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut card, model, facts);
    card
}

fn write(out: &mut String, model: &TrainedModel, facts: &Facts<'_>) -> std::fmt::Result {
    let learner = match &model.params.algorithm {
        Algorithm::Boosting(_) => "histogram gradient boosting",
        Algorithm::Logistic(_) => "logistic regression",
    };
    let task = match &model.task {
        Task::Classify(classes) => format!(
            "predicts `{}` as one of {} classes: {}",
            text(&model.label),
            classes.len(),
            classes.iter().map(|c| format!("`{}`", text(c))).collect::<Vec<_>>().join(", ")
        ),
        Task::Regress => format!("predicts the quantity `{}`", text(&model.label)),
    };
    writeln!(out, "# Model card: {} {}\n", text(facts.name), text(facts.version))?;
    writeln!(out, "## Model details\n")?;
    writeln!(out, "- What it does: {task}.")?;
    writeln!(out, "- Learner: {learner}, seed {}.", model.params.seed)?;
    writeln!(out, "- Made by {} {} on {}.", PRODUCER.0, PRODUCER.1, text(facts.date))?;
    person(out, "who answers for this model, its licence, how to send feedback")?;

    writeln!(out, "\n## Intended use\n")?;
    person(out, "what it is for, who uses it, what it must not be used for")?;

    writeln!(out, "\n## Factors\n")?;
    writeln!(out, "The model sees these {} features:\n", model.features.len())?;
    writeln!(out, "| feature | kind | importance |\n|---|---|---|")?;
    for (name, share) in model.ranked() {
        let kind = model.features.iter().find(|f| f.name == name);
        let kind = match kind.map(|f| f.categories.len()) {
            None | Some(0) => "number".to_owned(),
            Some(n) => format!("one of {n}"),
        };
        writeln!(out, "| {} | {kind} | {:.1} % |", text(name), share * 100.0)?;
    }
    writeln!(out)?;
    person(out, "groups, instruments and surroundings for which it may behave differently")?;

    writeln!(out, "\n## Metrics\n")?;
    match facts.evaluation {
        Evaluation::Classify(found) => classify(out, found)?,
        Evaluation::Regress(found) => regress(out, found)?,
    }

    writeln!(out, "\n## Evaluation data\n")?;
    let rows = match facts.evaluation {
        Evaluation::Classify(found) => found.rows,
        Evaluation::Regress(found) => found.rows,
    };
    writeln!(out, "{rows} rows, held out: {}.", text(facts.holdout))?;

    writeln!(out, "\n## Training data\n")?;
    writeln!(out, "{} rows of `{}` (SHA-256 `{}`).", model.training_rows, text(facts.data.0), text(facts.data.1))?;
    person(out, "where the data comes from, how it was labelled, its licence")?;

    writeln!(out, "\n## Quantitative analyses\n")?;
    match facts.evaluation {
        Evaluation::Classify(found) => calibration(out, found)?,
        Evaluation::Regress(found) => match found.r2 {
            Some(r2) => writeln!(out, "It explains {:.1} % of the variance.", r2 * 100.0)?,
            None => writeln!(out, "The label does not vary in the evaluation data.")?,
        },
    }

    writeln!(out, "\n## Ethical considerations\n")?;
    person(out, "whom a wrong answer harms, and what is done about it")?;

    writeln!(out, "\n## Caveats and recommendations\n")?;
    writeln!(out, "Figures hold for data like the evaluation data; watch drift on the devices.")?;
    person(out, "known weaknesses, when to train again")
}

fn person(out: &mut String, what: &str) -> std::fmt::Result {
    writeln!(out, "- {FOR_A_PERSON} {what}")
}

fn classify(out: &mut String, found: &Classification) -> std::fmt::Result {
    writeln!(out, "| figure | value |\n|---|---|")?;
    writeln!(out, "| accuracy | {:.4} |", found.accuracy)?;
    match found.auc {
        Some(auc) => writeln!(out, "| AUC | {auc:.4} |")?,
        None => writeln!(out, "| AUC | not defined: one class only |")?,
    }
    writeln!(out, "| log loss | {:.4} |", found.log_loss)?;
    writeln!(out, "| Brier score | {:.4} |", found.brier)?;
    writeln!(out, "| calibration error | {:.4} |", found.calibration_error)
}

fn regress(out: &mut String, found: &Regression) -> std::fmt::Result {
    writeln!(out, "| figure | value |\n|---|---|")?;
    writeln!(out, "| root mean squared error | {:.6} |", found.rmse)?;
    writeln!(out, "| mean absolute error | {:.6} |", found.mae)
}

fn calibration(out: &mut String, found: &Classification) -> std::fmt::Result {
    writeln!(out, "| predicted | rows | mean predicted | observed |\n|---|---|---|---|")?;
    for bin in &found.calibration {
        writeln!(
            out,
            "| {:.1} to {:.1} | {} | {:.3} | {:.3} |",
            bin.from, bin.to, bin.rows, bin.predicted, bin.observed
        )?;
    }
    writeln!(out, "\n| true \\ predicted | {} |", list(&found.classes))?;
    writeln!(out, "|---|{}", "---|".repeat(found.classes.len()))?;
    for (class, row) in found.classes.iter().zip(&found.confusion) {
        let row: Vec<String> = row.iter().map(u64::to_string).collect();
        writeln!(out, "| {} | {} |", text(class), row.join(" | "))?;
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    names.iter().map(|n| text(n)).collect::<Vec<_>>().join(" | ")
}

/// Returns text that cannot leave its cell, quote or line, nor pass for markup: names come from
/// files of strangers and cards end up on web pages.
fn text(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '|' | '`' | '<' | '>' | '*' | '[' | ']' => '_',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}
