//! The part of Markdown that model cards use, as markup: headings, paragraphs, lists, tables, code, bold. Everything
//! else stays text; nothing in a card can become a link, an image or a script.
use maud::{Markup, html};

/// A block of lines that belong together.
#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    Heading(usize, &'a str),
    Paragraph(Vec<&'a str>),
    List(Vec<&'a str>),
    Table(Vec<Vec<&'a str>>),
    Code(Vec<&'a str>),
}

/// Draws a text.
pub fn draw(text: &str) -> Markup {
    html! { @for block in blocks(text) { (self::block(&block)) } }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut out: Vec<Block<'_>> = Vec::new();
    // Whether the next line may go on with the last block.
    let mut open = false;
    let mut fenced = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            fenced = !fenced;
            if fenced {
                out.push(Block::Code(Vec::new()));
            }
            open = false;
            continue;
        }
        match out.last_mut() {
            Some(Block::Code(lines)) if fenced => {
                lines.push(line);
                continue;
            }
            _ => {}
        }
        if trimmed.is_empty() {
            open = false;
            continue;
        }
        let hashes = trimmed.bytes().take_while(|b| *b == b'#').count();
        if (1..=6).contains(&hashes) && trimmed[hashes..].starts_with(' ') {
            out.push(Block::Heading(hashes, trimmed[hashes..].trim()));
            open = false;
            continue;
        }
        let item = trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* "));
        let cells = trimmed.strip_prefix('|').map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect());
        match (out.last_mut(), item, cells) {
            (Some(Block::List(items)), Some(item), _) if open => items.push(item),
            (_, Some(item), _) => out.push(Block::List(vec![item])),
            (Some(Block::Table(rows)), _, Some(cells)) if open => rows.push(cells),
            (_, _, Some(cells)) => out.push(Block::Table(vec![cells])),
            (Some(Block::Paragraph(lines)), ..) if open => lines.push(trimmed),
            _ => out.push(Block::Paragraph(vec![trimmed])),
        }
        open = true;
    }
    out
}

fn block(block: &Block<'_>) -> Markup {
    match block {
        // A page has one first heading, which is not the card's.
        Block::Heading(1 | 2, text) => html! { h3 { (inline(text)) } },
        Block::Heading(_, text) => html! { h4 { (inline(text)) } },
        Block::Paragraph(lines) => html! { p { (inline(&lines.join(" "))) } },
        Block::List(items) => html! { ul { @for item in items { li { (inline(item)) } } } },
        Block::Code(lines) => html! { pre { code { (lines.join("\n")) } } },
        Block::Table(rows) => html! {
            div class="scroll" tabindex="0" role="region" aria-label="Table" {
                table {
                    @if let Some((head, body)) = rows.split_first() {
                        thead { tr { @for cell in head { th scope="col" { (inline(cell)) } } } }
                        tbody {
                            @for row in body.iter().filter(|row| !is_rule(row)) {
                                tr { @for cell in row { td { (inline(cell)) } } }
                            }
                        }
                    }
                }
            }
        },
    }
}

/// Returns whether a row is the line between head and body.
fn is_rule(row: &[&str]) -> bool {
    row.iter().all(|cell| !cell.is_empty() && cell.bytes().all(|b| matches!(b, b'-' | b':')))
}

/// Draws code between backticks and bold between double asterisks.
pub fn inline(text: &str) -> Markup {
    // An odd number of marks means that the last is a character like any other.
    let code: Vec<&str> = text.split('`').collect();
    if code.len().is_multiple_of(2) {
        return html! { (text) };
    }
    html! {
        @for (index, part) in code.iter().enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (bold(part)) }
        }
    }
}

fn bold(text: &str) -> Markup {
    let parts: Vec<&str> = text.split("**").collect();
    if parts.len().is_multiple_of(2) {
        return html! { (text) };
    }
    html! {
        @for (index, part) in parts.iter().enumerate() {
            @if index % 2 == 1 { strong { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_become_markup() {
        let text =
            "# Title\n\nOne `code`\nline **bold**.\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n```\n# kept\n```\n";
        assert_eq!(
            draw(text).into_string(),
            "<h3>Title</h3><p>One <code>code</code> line <strong>bold</strong>.</p><ul><li>a</li><li>b</li></ul>\
             <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table><thead><tr>\
             <th scope=\"col\">x</th><th scope=\"col\">y</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody>\
             </table></div><pre><code># kept</code></pre>"
        );
    }

    #[test]
    fn nothing_in_a_card_becomes_markup_of_its_own() {
        for hostile in [
            "<script>x</script>",
            "[a](javascript:x)",
            "![a](http://x)",
            "| <b> |",
            "- <i>",
            "```\n<u>",
            "# <s>",
            "`<em>`",
            "**<q>**",
        ] {
            let drawn = draw(hostile).into_string();
            for tag in ["<script", "<a", "<img", "<b>", "<i>", "<u>", "<s>", "<em>", "<q>"] {
                assert!(!drawn.contains(tag), "{hostile}: {drawn}");
            }
        }
    }
}
