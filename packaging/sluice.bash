# Completion of sluice for bash. It asks `sluice … --help`, so it knows what the program knows.

_sluice() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local -a said=()
    local word help
    COMPREPLY=()
    case $previous in
        --config)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --state)
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return
            ;;
    esac
    # The command and its action are the words that are no options, from the first on.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -* ]] && break
        said+=("$word")
    done
    help=$("${COMP_WORDS[0]}" "${said[@]:0:2}" --help 2>/dev/null) || return
    # Entries are indented by two; they end where a line is not indented.
    mapfile -t COMPREPLY < <(compgen -W "$(awk '
        /^Usage:/ { on = 1; next }
        on && /^[^ ]/ { exit }
        on && /^  [a-z-]/ { print $1 }' <<<"$help") --help" -- "$current")
}

complete -F _sluice sluice
