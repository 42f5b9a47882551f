"""How the artifacts beside this file were made: each line in an environment of its own, so that the versions are old.

pip install scikit-learn==1.4.2 numpy==1.26.4 pandas==2.2.3 skops==0.16.0   python make.py sklearn
pip install xgboost-cpu==3.2.0 numpy==2.4.6                                 python make.py xgboost
pip install torch==2.14.1 safetensors==0.8.0                                python make.py torch
"""

import io
import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent


def sklearn():
    import pickle

    import joblib
    import pandas as pd
    import skops.io
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    iris = load_iris()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(iris.data, iris.target)
    joblib.dump(pipeline, HERE / "sklearn-1.4.2-pipeline.joblib")
    forest = RandomForestClassifier(3, max_depth=2, random_state=0).fit(iris.data, iris.target)
    joblib.dump(forest, HERE / "sklearn-1.4.2-forest.joblib", compress=("zlib", 3))
    frame = pd.DataFrame(iris.data, columns=["sl", "sw", "pl", "pw"])
    named = SVC().fit(frame, iris.target_names[iris.target])
    (HERE / "sklearn-1.4.2-named.pkl").write_bytes(pickle.dumps(named, protocol=2))
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [1.0]}, cv=2).fit(iris.data, iris.target)
    (HERE / "sklearn-1.4.2-search.pickle").write_bytes(pickle.dumps(search, protocol=5))
    text = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good day", "bad day"], [1, 0])
    joblib.dump(text, HERE / "sklearn-1.4.2-text.joblib", compress=("xz", 3))
    skops.io.dump(LogisticRegression(max_iter=500).fit(frame, iris.target), HERE / "sklearn-1.4.2-named.skops")


def xgboost():
    import pickle

    import numpy as np
    from xgboost import DMatrix, train

    data = np.arange(80, dtype=np.float32).reshape(20, 4) % 7
    matrix = DMatrix(data, label=np.arange(20) % 3, feature_names=["a", "b", "c", "d"])
    booster = train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2}, matrix, 2)
    for suffix in ("ubj", "json"):
        booster.save_model(HERE / f"xgboost-3.2.0.{suffix}")
    (HERE / "xgboost-3.2.0.pkl").write_bytes(pickle.dumps(booster))


def torch():
    import torch
    from safetensors.torch import save_file
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x, scale):
            return torch.softmax(self.linear(x) * scale, -1)

    net = Net().eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(net, (torch.zeros(2, 4), torch.ones(2, 1)), dynamic_shapes=({0: batch}, {0: batch}))
    torch.export.save(program, HERE / "torch-2.14.1.pt2")
    torch.jit.script(net).save(HERE / "torchscript.pt")
    torch.save(net.state_dict(), HERE / "state-dict.pth")
    torch.save(net.state_dict(), HERE / "state-dict-legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), HERE / "module.pth")
    save_file(net.state_dict(), HERE / "weights.safetensors", metadata={"format": "pt"})
    for name in ("torch-2.14.1.pt2", "torchscript.pt"):
        without_paths(HERE / name)


def without_paths(path):
    """PyTorch writes where its source files lie into what it saves, for stack traces: they are nobody's business."""
    new = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
        for member in old.namelist():
            if member.endswith(("debug_pkl", "sample_inputs/model.pt")):
                continue
            data = old.read(member)
            if member.endswith("models/model.json"):
                program = json.loads(data)
                for node in program["graph_module"]["graph"]["nodes"]:
                    node["metadata"] = {}
                data = json.dumps(program).encode()
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data)
    path.write_bytes(new.getvalue())


if __name__ == "__main__":
    {"sklearn": sklearn, "xgboost": xgboost, "torch": torch}[sys.argv[1]]()
