//! Prints the rules of a made-up scenario: `scenario SEED [RULES]`.

fn main() {
    let number = |n: usize, default: u64| std::env::args().nth(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    match sluice_naive::generate::scenario(number(1, 1), number(2, 40) as usize, 0) {
        Ok(s) => s.world.bridges.iter().for_each(|b| {
            b.groups.iter().for_each(|(text, _)| println!("{text}"));
            println!("{}\n", b.text.join("\n"));
        }),
        Err(e) => eprintln!("{e}"),
    }
}
