"""``python -m fkt.params``: check params.yaml alone; exit status 1 and one line for each mistake."""

from fkt.check import load_checked
from fkt.core.errors import reported
from fkt.params import PARAMS_FILE

if __name__ == "__main__":
    with reported():
        params = load_checked()
        print(f"{PARAMS_FILE}: ok ({params.dataset}, {len(params.modes)} modes, {len(params.seeds)} seeds)")
