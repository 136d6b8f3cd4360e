"""An example of each command, which its help shows."""

from __future__ import annotations

__all__ = ["EXAMPLES"]

#: Command -> how a person may type it.
EXAMPLES = {
    "init": "tuner init clicks.parquet -o shop.yaml",
    "space": "tuner space search_spaces.guide --samples 5",
    "check": "tuner check shop.yaml --set search.trials=100",
    "run": "tuner run shop.yaml --time-budget 2h",
    "watch": "tuner watch studies/shop",
    "leaderboard": "tuner leaderboard studies/shop --top 10 --columns model,state,NDCG@10,lr",
    "show": "tuner show studies/shop best",
    "add": "tuner add studies/shop --from studies/other best",
    "exclude": "tuner exclude studies/shop 7 --why 'trained on a broken file'",
    "list": "tuner list studies",
    "final": "tuner final studies/shop --top 5 --seeds 3",
    "report": "tuner report studies/shop -o shop.html --figures figures",
    "compare": "tuner compare studies/shop studies/shop-2",
    "reproduce": "tuner reproduce studies/shop best ease",
    "export": "tuner export studies/shop best --to model",
    "recommend": "tuner recommend model --users ann,bob -k 5",
    "submit": "tuner submit shop.yaml --profile cluster --detach",
    "attach": "tuner attach shop",
    "fetch": "tuner fetch shop --to studies",
    "stop": "tuner stop studies/shop --trial 7",
}
