# Completion for aomalloc(1): its options, then the program and its own; or what
# looks into a process.
_aomalloc() {
  local word=${COMP_WORDS[COMP_CWORD]} i
  if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} =~ ^(top|report|what)$ ]]; then
    if [[ $word == -* ]]; then
      mapfile -t COMPREPLY < <(compgen -W '--once --json --delay --help' -- "$word")
    else
      mapfile -t COMPREPLY < <(
        cd /proc && compgen -W "$(printf '%s ' [0-9]*)" -- "$word"
        compgen -f -- "$word"
      )
    fi
    return
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --limit) ((++i)) ;;
      --stats | = | -*) ;;
      *)
        # After a "=" it is still an option's value.
        [[ ${COMP_WORDS[i - 1]} == = ]] && continue
        declare -F _command_offset >/dev/null && _command_offset "$i"
        return
        ;;
    esac
  done
  case ${COMP_WORDS[COMP_CWORD - 1]} in
    --limit) mapfile -t COMPREPLY < <(compgen -W '64M 256M 1G 4G' -- "$word") ;;
    =) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    *)
      if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
          '--static --hardened --stats --limit --help --version' -- "$word")
      else
        mapfile -t COMPREPLY < <(compgen -c -W 'top report what' -- "$word")
      fi
      ;;
  esac
}
complete -F _aomalloc aomalloc
