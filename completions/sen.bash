# shellcheck shell=bash
# Completions of sen, written by `sen completions`.
_sen() {
    local rest=${COMP_LINE:0:COMP_POINT} bin=$1 word blank i cut
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        blank=${rest%%[![:space:]]*}
        rest=${rest:${#blank}}
        [[ $i -eq $COMP_CWORD ]] && word=${rest:0:${#word}}
        rest=${rest:${#word}}
        if [[ -z $blank && $i -gt 0 ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
    done
    type -- "$bin" >/dev/null 2>&1 || bin=sen
    word=${words[${#words[@]}-1]}
    cut=${word%"${word##*[:=]}"}
    [[ $COMP_WORDBREAKS == *:* ]] || cut=${cut%"${cut##*=}"}
    # Within quotes bash takes nothing apart.
    [[ $word == [\'\"]* ]] && cut=
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$cut"}")
    done < <("$bin" __complete bash $((${#words[@]} - 1)) -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/=:] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F _sen sen 2>/dev/null || complete -F _sen sen
