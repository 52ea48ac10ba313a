"""What apt has to install for speech to learn from (speech.py): the one list, as error messages tell it."""

PACKAGES = (
    *("flite", "espeak-ng", "festival", "festvox-kdlpc16k", "festvox-us-slt-hts", "festvox-italp16k", "festvox-itapc16k"),
    *("festvox-czech-dita", "festvox-czech-krb", "festvox-czech-machac", "festvox-czech-ph", "festvox-suopuhe-lj"),
    *("festvox-suopuhe-mv", "festvox-ca-ona-hts"),
)
PROGRAMS = ("flite", "espeak-ng", "festival")  # of the packages, to be run
INSTALL = f"apt-get install {' '.join(PACKAGES)}"
