# Completion for bash: source this file, or install it where bash-completion looks. The program says
# what may come next ("driftless complete"), so there is nothing here that could go stale.
_driftless() {
    local line=${COMP_LINE:0:COMP_POINT} program=${COMP_WORDS[0]} word current cut
    local -a words
    read -ra words <<<"$line"
    if [[ $line == *[[:blank:]] ]]; then words+=(""); fi
    current=${words[-1]}
    # readline replaces only what follows the last of its own word breaks
    cut=${current%"${current##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r word; do
        if [[ $word == files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r word; do COMPREPLY+=("$word"); done \
                < <(compgen -f -- "${current#"$cut"}")
        else
            word=${word%%$'\t'*}
            if [[ $word == *[:=] ]]; then compopt -o nospace 2>/dev/null; fi
            COMPREPLY+=("${word#"$cut"}")
        fi
    done < <("$program" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _driftless driftless
