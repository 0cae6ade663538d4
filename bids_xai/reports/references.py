"""The papers that the methods text of a study cites: a key as the text has it → the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping

REFERENCES: Mapping[str, str] = {
    "Adebayo et al. 2018": "Adebayo J et al. (2018). Sanity checks for saliency maps. Advances in "
    "Neural Information Processing Systems 31. arXiv:1810.03292",
    "Bach et al. 2015": "Bach S et al. (2015). On pixel-wise explanations for non-linear "
    "classifier decisions by layer-wise relevance propagation. PLoS ONE 10(7):e0130140. "
    "doi:10.1371/journal.pone.0130140",
    "Boehle et al. 2019": "Böhle M, Eitel F, Weygandt M, Ritter K (2019). Layer-wise relevance "
    "propagation for explaining deep neural network decisions in MRI-based Alzheimer's disease "
    "classification. Frontiers in Aging Neuroscience 11:194. doi:10.3389/fnagi.2019.00194",
    "Eitel and Ritter 2019": "Eitel F, Ritter K (2019). Testing the robustness of attribution "
    "methods for convolutional neural networks in MRI-based Alzheimer's disease classification. "
    "arXiv:1909.08856",
    "Eitel et al. 2019": "Eitel F et al. (2019). Uncovering convolutional neural network decisions "
    "for diagnosing multiple sclerosis on conventional MRI using layer-wise relevance "
    "propagation. NeuroImage: Clinical 24:102003. doi:10.1016/j.nicl.2019.102003",
    "Eitel et al. 2021": "Eitel F et al. (2021). Patch individual filter layers in CNNs to harness "
    "the spatial homogeneity of neuroimaging data. Scientific Reports 11:24447. "
    "doi:10.1038/s41598-021-03785-9",
    "Kingma and Ba 2015": "Kingma DP, Ba J (2015). Adam: a method for stochastic optimization. "
    "arXiv:1412.6980",
    "Klingenberg et al. 2021": "Klingenberg M, Stark D, Eitel F, Ritter K (2021). MRI image "
    "registration considerably improves CNN-based disease classification. Machine Learning in "
    "Clinical Neuroimaging, LNCS 13001",
    "Lapuschkin et al. 2019": "Lapuschkin S et al. (2019). Unmasking Clever Hans predictors and "
    "assessing what machines really learn. Nature Communications 10:1096. "
    "doi:10.1038/s41467-019-08987-4",
    "Loshchilov and Hutter 2019": "Loshchilov I, Hutter F (2019). Decoupled weight decay "
    "regularization. arXiv:1711.05101",
    "McInnes et al. 2018": "McInnes L, Healy J, Melville J (2018). UMAP: uniform manifold "
    "approximation and projection for dimension reduction. arXiv:1802.03426",
    "Montavon et al. 2017": "Montavon G et al. (2017). Explaining nonlinear classification "
    "decisions with deep Taylor decomposition. Pattern Recognition 65:211–222. "
    "doi:10.1016/j.patcog.2016.11.008",
    "Montavon et al. 2019": "Montavon G et al. (2019). Layer-wise relevance propagation: an "
    "overview. LNCS 11700:193–209. doi:10.1007/978-3-030-28954-6_10",
    "Rieke et al. 2018": "Rieke J, Eitel F, Weygandt M, Haynes JD, Ritter K (2018). Visualizing "
    "convolutional networks for MRI-based diagnosis of Alzheimer's disease. arXiv:1808.02874",
    "Samek et al. 2017": "Samek W et al. (2017). Evaluating the visualization of what a deep "
    "neural network has learned. IEEE Transactions on Neural Networks and Learning Systems "
    "28(11):2660–2673. doi:10.1109/TNNLS.2016.2599820",
    "Selvaraju et al. 2017": "Selvaraju RR et al. (2017). Grad-CAM: visual explanations from deep "
    "networks via gradient-based localization. arXiv:1610.02391",
    "Shrikumar et al. 2016": "Shrikumar A et al. (2016). Not just a black box: learning important "
    "features through propagating activation differences. arXiv:1605.01713",
    "Simonyan et al. 2014": "Simonyan K, Vedaldi A, Zisserman A (2014). Deep inside convolutional "
    "networks: visualising image classification models and saliency maps. arXiv:1312.6034",
    "Smilkov et al. 2017": "Smilkov D et al. (2017). SmoothGrad: removing noise by adding noise. "
    "arXiv:1706.03825",
    "Springenberg et al. 2015": "Springenberg JT et al. (2015). Striving for simplicity: the all "
    "convolutional net. arXiv:1412.6806",
    "Sundararajan et al. 2017": "Sundararajan M, Taly A, Yan Q (2017). Axiomatic attribution for "
    "deep networks. arXiv:1703.01365",
    "Tinauer et al. 2025": "Tinauer C, Sackl M, Ropele S, Langkammer C (2025). Identifying "
    "Alzheimer's disease prediction strategies of convolutional neural network classifiers using "
    "R2* maps and spectral clustering",
    "University of Georgia": "Master's thesis on class activation mapping and layer-wise relevance "
    "propagation of 3-D networks, University of Georgia. https://openscholar.uga.edu/record/6221",
    "van der Maaten and Hinton 2008": "van der Maaten L, Hinton G (2008). Visualizing data using "
    "t-SNE. Journal of Machine Learning Research 9:2579–2605",
    "von Luxburg 2007": "von Luxburg U (2007). A tutorial on spectral clustering. Statistics and "
    "Computing 17:395–416. doi:10.1007/s11222-007-9033-z",
    "Zeiler and Fergus 2014": "Zeiler MD, Fergus R (2014). Visualizing and understanding "
    "convolutional networks. arXiv:1311.2901",
    "Zhou et al. 2016": "Zhou B et al. (2016). Learning deep features for discriminative "
    "localization. arXiv:1512.04150",
}
_THESIS, _THESIS_KEY = "CAM and LRP thesis", "University of Georgia"


def cited(text: str) -> list[str]:
    """Return the references whose keys a text has, in the order of the alphabet."""
    keys = [key for key in REFERENCES if re.search(rf"\b{re.escape(key)}\b", text)]
    if _THESIS in text:
        keys.append(_THESIS_KEY)
    return list(dict.fromkeys(REFERENCES[key] for key in keys))
