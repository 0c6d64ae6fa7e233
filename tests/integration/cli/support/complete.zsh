# complete.zsh SCRIPT LINE
# Types a line into an interactive zsh that has the completions of SCRIPT, presses Tab and Enter, and prints the words
# that the command then has, between angle brackets.
zmodload zsh/zpty
zpty shell zsh -f -i

# Prints what the shell wrote up to a pattern.
read_until() {
  local out= chunk=
  until [[ $out == *$~1* ]]; do
    zpty -r shell chunk || return
    out+=$chunk
  done
  print -r -- "$out"
}

# The quotes keep the echo of this line from being taken for its output.
zpty -w shell "PROMPT=; autoload -Uz compinit; compinit -u -D; source $1; proxy() { print -r -- '<'\"\$*\"'>' }; print REA''DY"
read_until READY >/dev/null
zpty -w -n shell "$2"$'\t\n'
read_until $'\n<*>' | sed -n 's/\r//; s/^<\(.*\)>$/\1/p'
