# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# bash completion for riser. Verbs and options come from "riser help --completion", which prints
# them from the tables that the command itself parses by.

# The words of a line "VERB word…"; verbs below another are "nvme.read".
_riser_words()
{
	"$1" help --completion 2>/dev/null | while read -r verb words; do
		if [[ $verb == "$2" ]]; then echo "$words"; fi
	done
}

_riser_verbs()
{
	"$1" help --completion 2>/dev/null | while read -r verb _; do
		if [[ $verb != *.* ]]; then echo "$verb"; fi
	done
}

_riser_schemes()
{
	"$1" list --json 2>/dev/null |
		sed -n '/"schemes"/,/"publish"/s/^ *"\([a-z0-9+-]*\)",\{0,1\}$/\1:/p' | sort -u
}

_riser_publishers()
{
	"$1" list --json 2>/dev/null |
		sed -n '/"publish"/,/\]/s/^ *"\([a-z0-9+-]*\)",\{0,1\}$/\1:/p'
}

_riser()
{
	local riser=${COMP_WORDS[0]} line=${COMP_LINE:0:COMP_POINT} cur verb words
	local -a typed

	# Readline cuts words at ':' and '='; take them as the shell will.
	read -ra typed <<<"$line"
	if [[ $line == *' ' ]]; then typed+=(''); fi
	cur=${typed[-1]}
	verb=${typed[1]-}
	if ((${#typed[@]} <= 2)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_riser_verbs "$riser")" -- "$cur")
		return
	fi
	words=$(_riser_words "$riser" "$verb")
	if [[ $words != *--* ]]; then
		if ((${#typed[@]} == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
			return
		fi
		words=$(_riser_words "$riser" "$verb.${typed[2]}")
	fi
	if [[ $verb == help && $cur != -* ]]; then
		words=$(_riser_verbs "$riser")
		if ((${#typed[@]} > 3)); then words=$(_riser_words "$riser" "${typed[2]}"); fi
		if [[ $words == *--* ]]; then words=; fi
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	elif [[ $verb == publish && $cur != -* && $cur != *:* ]] && ((${#typed[@]} == 4)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_riser_publishers "$riser")" -- "$cur")
		return
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	elif [[ $cur != *:* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_riser_schemes "$riser")" -f -- "$cur")
	fi
	# What wants more behind it gets no space.
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]]; then
		compopt -o nospace
	fi
}

complete -F _riser riser
