# Completion for fish. The program says what may come next ("driftless complete"), so there is nothing
# here that could go stale.
function __driftless_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] complete -- $words[2..-1] 2>/dev/null)
        if test "$line" = files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c driftless -f -a '(__driftless_complete)'
