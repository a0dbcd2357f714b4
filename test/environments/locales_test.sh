#!/bin/bash
# Locales other than C, which the C library loads into blocks of ours.
source test/environments/common.sh

need localedef perl python3 sort

export LOCPATH=$TEST_TMPDIR/locales
mkdir -p "$LOCPATH"
localedef -i de_DE -f UTF-8 "$LOCPATH/de_DE.UTF-8"
localedef -i ja_JP -f EUC-JP "$LOCPATH/ja_JP.EUC-JP" || (($? == 1)) # It warns.
localedef -i tr_TR -f ISO-8859-9 "$LOCPATH/tr_TR.ISO-8859-9"

in_locale() {
  export LC_ALL=$1
  printf '%s\n' Zebra Äpfel apfel Igel istanbul 1.234,5 | sort
  date -d @0 +'%A %d %B %Y %c'
  printf "%'.2f\n" 1234567
  perl -MPOSIX -e 'print setlocale(LC_ALL, ""), " ", strftime("%B", gmtime 0), "\n"'
  python3 -c 'import locale, time
print(locale.setlocale(locale.LC_ALL, ""), locale.localeconv()["decimal_point"])
print(ascii(time.strftime("%A %B", time.gmtime(0))))'
}

for locale in de_DE.UTF-8 ja_JP.EUC-JP tr_TR.ISO-8859-9; do
  run_both "$locale" in_locale "$locale"
  grep -q "$locale" "$TEST_TMPDIR/$locale.with/stdout" ||
    fail "$locale was not taken"
done

assert_served "$helpers/locale_threads" de_DE.UTF-8 tr_TR.ISO-8859-9
run_both threads "$helpers/locale_threads" de_DE.UTF-8 tr_TR.ISO-8859-9 ja_JP.EUC-JP
