# fish
# Completions of sen, written by `sen completions`.
function __sen_complete
    set -l words (commandline -opc)
    set -l bin $words[1]
    type -q -- $bin; or set bin sen
    $bin __complete fish (count $words) -- $words (commandline -ct) 2>/dev/null
end
complete -c sen -f -k -a '(__sen_complete)'
